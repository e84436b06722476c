// softmax(scale · q kᵀ) v of one head, tile by tile, without the matrix of all scores (Dao et al., arXiv 2205.14135), for
// 16-bit values on tensor cores (compute capability 8.0 and above), with sums in f32.
//
// Tokens are (batch, length, heads · size). A block takes 64 queries, 16 a warp, and COLUMNS of a head's columns. Blocks:
// (tiles of queries, heads · chunks of columns, batch). Defined from outside: DEPTH, how many of a head's columns are
// multiplied at a time (a multiple of 16); COLUMNS (of 8); KEYS in a tile (of 16). Where a thread's share of a matrix
// lies is said in NVIDIA's PTX manual under mma.m16n8k16: of four neighbouring lanes, `place` is which, `group` which
// four; a thread holds results (group, 2 · place) and (group, 2 · place + 1), then the same 8 rows below.

#define THREADS 128
#define ROWS 64
// Rows that lie one below the other begin in different banks of shared memory.
#define STRIDE (DEPTH + 8)
#define VALUE_STRIDE (COLUMNS % 16 == 0 ? COLUMNS + 8 : COLUMNS + 16)

#ifndef EMULATED
#if ELEMENT == 1
#define TYPE "f16"
#else
#define TYPE "bf16"
#endif

// d (16, 8) += a (16, 16) · b (16, 8)
static __device__ __forceinline__ void multiply(float d[4], const unsigned a[4], const unsigned b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." TYPE "." TYPE ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Two 8 × 8 matrices, transposed on the way; lanes 0 … 15 say where their rows begin.
static __device__ __forceinline__ void load_transposed(unsigned to[2], const element* row) {
    const unsigned address = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(address)
                 : "memory");
}

// The first of two neighbours in the lower half.
static __device__ __forceinline__ unsigned narrow_pair(float first, float second) {
    unsigned pair;
    asm("cvt.rn." TYPE "x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}
#endif

static __device__ __forceinline__ unsigned pair_at(const element* from) { return *(const unsigned*)from; }

// Rows of a head into tile (height, stride); zeros where there are none. height · depth values from row `first` and
// column `column` on.
static __device__ __forceinline__ void fetch(
    element* tile, unsigned stride, unsigned height, unsigned depth, const element* head, size_t width, unsigned first,
    unsigned rows, unsigned column, unsigned size) {
    const unsigned packs = depth / WIDTH;
    for (unsigned at = threadIdx.x; at < height * packs; at += THREADS) {
        const unsigned row = at / packs, place = at % packs * WIDTH;
        pack values = {};
        if (first + row < rows && column + place < size) values = load(head + (first + row) * width + column + place);
        store(tile + row * stride + place, values);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) attention_tensor(
    const element* q, const element* k, const element* v, element* out, unsigned queries, unsigned keys, unsigned heads,
    unsigned size, unsigned chunks, float scale, unsigned causal) {
    alignas(16) __shared__ element query_tile[ROWS * STRIDE];
    alignas(16) __shared__ element key_tile[KEYS * STRIDE];
    alignas(16) __shared__ element value_tile[KEYS * VALUE_STRIDE];
    const size_t width = (size_t)heads * size, offset = (size_t)(blockIdx.y / chunks) * size;
    const unsigned first_column = blockIdx.y % chunks * COLUMNS, first_query = blockIdx.x * ROWS;
    q += (size_t)blockIdx.z * queries * width + offset;
    k += (size_t)blockIdx.z * keys * width + offset;
    v += (size_t)blockIdx.z * keys * width + offset;
    out += (size_t)blockIdx.z * queries * width + offset;
    const unsigned lane = threadIdx.x % THREADS_IN_WARP, group = lane / 4, place = lane % 4;
    const unsigned row = threadIdx.x / THREADS_IN_WARP * 16 + group;
    // What the last query of this block sees.
    const unsigned seen = causal ? min(keys, first_query + ROWS) : keys;
    // exp(x) = 2^(x · log2 e)
    scale *= 1.44269504f;
    float largest[2] = {NEGATIVE_INFINITY, NEGATIVE_INFINITY}, total[2] = {0.0f, 0.0f}, sums[COLUMNS / 8][4];
#pragma unroll
    for (unsigned i = 0; i < COLUMNS / 8; i++) {
        for (unsigned j = 0; j < 4; j++) sums[i][j] = 0.0f;
    }

    for (unsigned first_key = 0; first_key < seen; first_key += KEYS) {
        float scores[KEYS / 8][4];
#pragma unroll
        for (unsigned i = 0; i < KEYS / 8; i++) {
            for (unsigned j = 0; j < 4; j++) scores[i][j] = 0.0f;
        }
        for (unsigned depth = 0; depth < size; depth += DEPTH) {
            __syncthreads();
            // Queries that fit whole stay where they are.
            if (first_key == 0 || size > DEPTH) {
                fetch(query_tile, STRIDE, ROWS, DEPTH, q, width, first_query, queries, depth, size);
            }
            fetch(key_tile, STRIDE, KEYS, DEPTH, k, width, first_key, keys, depth, size);
            if (depth == 0) {
                fetch(value_tile, VALUE_STRIDE, KEYS, COLUMNS, v, width, first_key, keys, first_column, size);
            }
            __syncthreads();
#pragma unroll
            for (unsigned at = 0; at < DEPTH; at += 16) {
                const element* from = query_tile + row * STRIDE + at + place * 2;
                const unsigned a[4] = {
                    pair_at(from), pair_at(from + 8 * STRIDE), pair_at(from + 8), pair_at(from + 8 * STRIDE + 8)};
#pragma unroll
                for (unsigned i = 0; i < KEYS / 8; i++) {
                    const element* from = key_tile + (i * 8 + group) * STRIDE + at + place * 2;
                    const unsigned b[2] = {pair_at(from), pair_at(from + 8)};
                    multiply(scores[i], a, b);
                }
            }
        }
        // Half 0: the rows of `group`; half 1: those 8 below.
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            const unsigned query = first_query + row + half * 8;
            float highest = largest[half];
#pragma unroll
            for (unsigned i = 0; i < KEYS / 8; i++) {
#pragma unroll
                for (unsigned j = 0; j < 2; j++) {
                    const unsigned key = first_key + i * 8 + place * 2 + j;
                    float* score = &scores[i][half * 2 + j];
                    *score = key < keys && (!causal || key <= query) ? *score * scale : NEGATIVE_INFINITY;
                    highest = fmaxf(highest, *score);
                }
            }
            // Every query sees key 0, in the first tile: from there on this is finite.
            highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, 1));
            highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, 2));
            const float shrink = exp2f(largest[half] - highest);
            largest[half] = highest;
            total[half] *= shrink;
#pragma unroll
            for (unsigned i = 0; i < COLUMNS / 8; i++) {
                sums[i][half * 2] *= shrink;
                sums[i][half * 2 + 1] *= shrink;
            }
#pragma unroll
            for (unsigned i = 0; i < KEYS / 8; i++) {
#pragma unroll
                for (unsigned j = 0; j < 2; j++) {
                    float* score = &scores[i][half * 2 + j];
                    *score = exp2f(*score - highest);
                    total[half] += *score;
                }
            }
        }
        // What a thread holds of two neighbouring tiles of scores is its share of a factor of 16 keys.
#pragma unroll
        for (unsigned i = 0; i < KEYS / 16; i++) {
            const float *left = scores[2 * i], *right = scores[2 * i + 1];
            const unsigned a[4] = {
                narrow_pair(left[0], left[1]), narrow_pair(left[2], left[3]), narrow_pair(right[0], right[1]),
                narrow_pair(right[2], right[3])};
#pragma unroll
            for (unsigned j = 0; j < COLUMNS / 8; j++) {
                unsigned b[2];
                load_transposed(b, value_tile + (i * 16 + lane % 16) * VALUE_STRIDE + j * 8);
                multiply(sums[j], a, b);
            }
        }
    }
#pragma unroll
    for (unsigned half = 0; half < 2; half++) {
        total[half] += __shfl_xor_sync(ALL_LANES, total[half], 1);
        total[half] += __shfl_xor_sync(ALL_LANES, total[half], 2);
        const unsigned query = first_query + row + half * 8;
        if (query < queries) {
#pragma unroll
            for (unsigned i = 0; i < COLUMNS / 8; i++) {
#pragma unroll
                for (unsigned j = 0; j < 2; j++) {
                    const unsigned column = first_column + i * 8 + place * 2 + j;
                    if (column < size) out[query * width + column] = narrow(sums[i][half * 2 + j] / total[half]);
                }
            }
        }
    }
}
