// softmax(scale · q kᵀ) v of one head, tile by tile, without the matrix of all scores (Dao et al., arXiv 2205.14135), in
// f32 arithmetic on plain multiply-adds: for f32, and for 16-bit values where there are no tensor cores for them.
//
// Tokens are (batch, length, heads · size). A block takes ROWS queries and COLUMNS of a head's columns; four neighbouring
// threads share a query. Blocks: (tiles of queries, heads · chunks of columns, batch). Defined from outside: DEPTH, how
// many of a head's columns are multiplied at a time, and COLUMNS, multiples of 16.

#define THREADS 128
#define ROWS 32
#define KEYS 32
#define LANES 4
#define STRIDE (DEPTH + 4)

// Rows of a head into tile (height, stride), in f32; zeros where there are none. height · depth values from row `first`
// and column `column` on.
static __device__ void fetch(
    float* tile, unsigned stride, unsigned height, unsigned depth, const element* head, size_t width, unsigned first,
    unsigned rows, unsigned column, unsigned size) {
    for (unsigned at = threadIdx.x; at < height * depth; at += THREADS) {
        const unsigned row = at / depth, place = at % depth;
        const bool present = first + row < rows && column + place < size;
        tile[row * stride + place] = present ? widen(head[(first + row) * width + column + place]) : 0.0f;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) attention(
    const element* q, const element* k, const element* v, element* out, unsigned queries, unsigned keys, unsigned heads,
    unsigned size, unsigned chunks, float scale, unsigned causal) {
    alignas(16) __shared__ float query_tile[ROWS * STRIDE];
    alignas(16) __shared__ float key_tile[KEYS * STRIDE];
    alignas(16) __shared__ float value_tile[KEYS * COLUMNS];
    __shared__ float weights[ROWS * (KEYS + 1)];
    const size_t width = (size_t)heads * size, offset = (size_t)(blockIdx.y / chunks) * size;
    const unsigned first_column = blockIdx.y % chunks * COLUMNS, first_query = blockIdx.x * ROWS;
    q += (size_t)blockIdx.z * queries * width + offset;
    k += (size_t)blockIdx.z * keys * width + offset;
    v += (size_t)blockIdx.z * keys * width + offset;
    out += (size_t)blockIdx.z * queries * width + offset;
    const unsigned row = threadIdx.x / LANES, lane = threadIdx.x % LANES, query = first_query + row;
    // What the last query of this block sees.
    const unsigned seen = causal ? min(keys, first_query + ROWS) : keys;
    float largest = NEGATIVE_INFINITY, total = 0.0f, sums[COLUMNS / LANES];
    for (unsigned i = 0; i < COLUMNS / LANES; i++) sums[i] = 0.0f;

    for (unsigned first_key = 0; first_key < seen; first_key += KEYS) {
        float scores[KEYS / LANES];
        for (unsigned i = 0; i < KEYS / LANES; i++) scores[i] = 0.0f;
        for (unsigned depth = 0; depth < size; depth += DEPTH) {
            __syncthreads();
            fetch(query_tile, STRIDE, ROWS, DEPTH, q, width, first_query, queries, depth, size);
            fetch(key_tile, STRIDE, KEYS, DEPTH, k, width, first_key, keys, depth, size);
            if (depth == 0) fetch(value_tile, COLUMNS, KEYS, COLUMNS, v, width, first_key, keys, first_column, size);
            __syncthreads();
            for (unsigned at = 0; at < DEPTH; at += 4) {
                const float4 a = *(const float4*)(query_tile + row * STRIDE + at);
#pragma unroll
                for (unsigned i = 0; i < KEYS / LANES; i++) {
                    const float4 b = *(const float4*)(key_tile + (i * LANES + lane) * STRIDE + at);
                    scores[i] += a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
                }
            }
        }
        float highest = largest;
        for (unsigned i = 0; i < KEYS / LANES; i++) {
            const unsigned key = first_key + i * LANES + lane;
            scores[i] = key < keys && (!causal || key <= query) ? scores[i] * scale : NEGATIVE_INFINITY;
            highest = fmaxf(highest, scores[i]);
        }
        // Every query sees key 0, in the first tile: from there on this is finite.
        for (int step = LANES / 2; step > 0; step /= 2) {
            highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, step));
        }
        const float shrink = expf(largest - highest);
        largest = highest;
        total *= shrink;
        for (unsigned i = 0; i < COLUMNS / LANES; i++) sums[i] *= shrink;
        for (unsigned i = 0; i < KEYS / LANES; i++) {
            const float weight = expf(scores[i] - highest);
            total += weight;
            weights[row * (KEYS + 1) + i * LANES + lane] = weight;
        }
        // The threads of a query are in one warp.
        __syncwarp();
        for (unsigned key = 0; key < KEYS; key++) {
            const float weight = weights[row * (KEYS + 1) + key];
#pragma unroll
            for (unsigned i = 0; i < COLUMNS / LANES / 4; i++) {
                const float4 value = *(const float4*)(value_tile + key * COLUMNS + (i * LANES + lane) * 4);
                sums[i * 4] += weight * value.x;
                sums[i * 4 + 1] += weight * value.y;
                sums[i * 4 + 2] += weight * value.z;
                sums[i * 4 + 3] += weight * value.w;
            }
        }
    }
    for (int step = LANES / 2; step > 0; step /= 2) total += __shfl_xor_sync(ALL_LANES, total, step);
    if (query >= queries) return;
    for (unsigned i = 0; i < COLUMNS / LANES; i++) {
        const unsigned column = first_column + (i / 4 * LANES + lane) * 4 + i % 4;
        if (column < size) out[query * width + column] = narrow(sums[i] / total);
    }
}
