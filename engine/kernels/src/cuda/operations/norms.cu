// Group normalisation in three steps, and layer normalisation. Images are (samples, pixels, channels). Sums are added in
// an order that depends on the shape alone, so that a picture stays the same from run to run.

#define THREADS 256

static __device__ __forceinline__ float sum_over_warp(float x) {
    for (int step = THREADS_IN_WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}

// Step 1. Of block_pixels pixels of a sample: each group's mean and its sum of squared differences from that mean, into
// partials (samples, blocks, groups, 2). Blocks: (blocks of a sample, samples). Shared: THREADS · WIDTH sums, as many
// sums of squares, then a mean and a sum of squares for each channel.
extern "C" __global__ void __launch_bounds__(THREADS) group_norm_sums(
    const element* x, float* partials, unsigned pixels, unsigned channels, unsigned groups, unsigned block_pixels) {
    SHARED_MEMORY(shared);
    float *sums = shared, *squares = sums + THREADS * WIDTH;
    float *means = squares + THREADS * WIDTH, *spreads = means + channels;
    const unsigned first = blockIdx.x * block_pixels;
    const unsigned count = min(block_pixels, pixels - first);
    const element* image = x + ((size_t)blockIdx.y * pixels + first) * channels;
    const unsigned slots = channels / WIDTH;
    for (unsigned from = 0; from < slots; from += THREADS) {
        // Threads lie over this many packs of channels side by side, and over rows of pixels.
        const unsigned side = min((unsigned)THREADS, slots - from), rows = THREADS / side;
        const unsigned row = threadIdx.x / side, slot = threadIdx.x % side;
        if (row < rows) {
            const element* own = image + (size_t)(from + slot) * WIDTH;
            // Differences from the block's first pixel, so that a large mean costs no digits.
            const pack origin = load(own);
            float sum[WIDTH], square[WIDTH];
            for (unsigned i = 0; i < WIDTH; i++) sum[i] = square[i] = 0.0f;
#pragma unroll 4
            for (unsigned pixel = row; pixel < count; pixel += rows) {
                const pack values = load(own + (size_t)pixel * channels);
                for (unsigned i = 0; i < WIDTH; i++) {
                    const float difference = widen(values.at[i]) - widen(origin.at[i]);
                    sum[i] += difference;
                    square[i] += difference * difference;
                }
            }
            for (unsigned i = 0; i < WIDTH; i++) {
                sums[(row * side + slot) * WIDTH + i] = sum[i];
                squares[(row * side + slot) * WIDTH + i] = square[i];
            }
        }
        __syncthreads();
        for (unsigned at = threadIdx.x; at < side * WIDTH; at += THREADS) {
            float sum = 0.0f, square = 0.0f;
            for (unsigned row = 0; row < rows; row++) {
                sum += sums[row * side * WIDTH + at];
                square += squares[row * side * WIDTH + at];
            }
            const unsigned channel = from * WIDTH + at;
            const float mean = sum / count, spread = square - sum * mean;
            means[channel] = widen(image[channel]) + mean;
            // Rounding may leave less than nothing; what is no number must stay none, which fmaxf would hide.
            spreads[channel] = spread < 0.0f ? 0.0f : spread;
        }
        __syncthreads();
    }
    const unsigned per_group = channels / groups;
    for (unsigned group = threadIdx.x; group < groups; group += THREADS) {
        const float *own = means + group * per_group, *own_spreads = spreads + group * per_group;
        float mean = 0.0f, spread = 0.0f;
        for (unsigned i = 0; i < per_group; i++) mean += own[i];
        mean /= per_group;
        for (unsigned i = 0; i < per_group; i++) spread += own_spreads[i] + count * (own[i] - mean) * (own[i] - mean);
        float* out = partials + (((size_t)blockIdx.y * gridDim.x + blockIdx.x) * groups + group) * 2;
        out[0] = mean;
        out[1] = spread;
    }
}

// Step 2. From the partials to each channel's mean and what its difference from it is multiplied by: scales (samples, 2,
// channels). Blocks: (groups, samples), one warp each.
extern "C" __global__ void group_norm_scales(
    const float* partials, const element* weight, float* scales, unsigned blocks, unsigned block_pixels,
    unsigned pixels, unsigned channels, unsigned groups, float eps) {
    const unsigned group = blockIdx.x, per_group = channels / groups;
    const float* own = partials + ((size_t)blockIdx.y * blocks * groups + group) * 2;
    float mean = 0.0f, spread = 0.0f;
    for (unsigned block = threadIdx.x; block < blocks; block += THREADS_IN_WARP) {
        mean += own[(size_t)block * groups * 2] * min(block_pixels, pixels - block * block_pixels);
    }
    mean = sum_over_warp(mean) / pixels;
    for (unsigned block = threadIdx.x; block < blocks; block += THREADS_IN_WARP) {
        const float* partial = own + (size_t)block * groups * 2;
        const float count = (float)min(block_pixels, pixels - block * block_pixels) * per_group;
        spread += partial[1] + count * (partial[0] - mean) * (partial[0] - mean);
    }
    const float variance = sum_over_warp(spread) / ((float)pixels * per_group);
    const float rstd = 1.0f / sqrtf(variance + eps);
    for (unsigned channel = group * per_group + threadIdx.x; channel < (group + 1) * per_group;
         channel += THREADS_IN_WARP) {
        float* out = scales + (size_t)blockIdx.y * 2 * channels + channel;
        out[0] = mean;
        out[channels] = widen(weight[channel]) * rstd;
    }
}

// Step 3. out = (x − mean) · scale + bias, then SiLU where asked. Blocks: (any number, samples).
extern "C" __global__ void group_norm_apply(
    const element* x, const float* scales, const element* bias, element* out, unsigned pixels, unsigned channels,
    unsigned silu) {
    const size_t sample = blockIdx.y;
    const float *mean = scales + sample * 2 * channels, *scale = mean + channels;
    const unsigned slots = channels / WIDTH;
    for (unsigned at = blockIdx.x * blockDim.x + threadIdx.x; at < pixels * slots; at += gridDim.x * blockDim.x) {
        const size_t place = sample * pixels * channels + (size_t)at * WIDTH;
        const unsigned channel = at % slots * WIDTH;
        pack values = load(x + place);
        const pack shift = load(bias + channel);
        for (unsigned i = 0; i < WIDTH; i++) {
            const float difference = widen(values.at[i]) - mean[channel + i];
            const float y = difference * scale[channel + i] + widen(shift.at[i]);
            values.at[i] = narrow(silu ? y / (1.0f + expf(-y)) : y);
        }
        store(out + place, values);
    }
}

// Each row of x (rows, size) to mean 0 and variance 1, then scaled and shifted. One warp a row.
extern "C" __global__ void layer_norm(
    const element* x, const element* weight, const element* bias, element* out, unsigned rows, unsigned size,
    float eps) {
    const unsigned row = blockIdx.x * (blockDim.x / THREADS_IN_WARP) + threadIdx.x / THREADS_IN_WARP;
    const unsigned lane = threadIdx.x % THREADS_IN_WARP;
    if (row >= rows) return;
    const element* own = x + (size_t)row * size;
    float sum = 0.0f, square = 0.0f;
    for (unsigned at = lane * WIDTH; at < size; at += THREADS_IN_WARP * WIDTH) {
        const pack values = load(own + at);
        for (unsigned i = 0; i < WIDTH; i++) sum += widen(values.at[i]);
    }
    const float mean = sum_over_warp(sum) / size;
    for (unsigned at = lane * WIDTH; at < size; at += THREADS_IN_WARP * WIDTH) {
        const pack values = load(own + at);
        for (unsigned i = 0; i < WIDTH; i++) {
            const float difference = widen(values.at[i]) - mean;
            square += difference * difference;
        }
    }
    const float rstd = 1.0f / sqrtf(sum_over_warp(square) / size + eps);
    for (unsigned at = lane * WIDTH; at < size; at += THREADS_IN_WARP * WIDTH) {
        pack values = load(own + at);
        const pack scale = load(weight + at), shift = load(bias + at);
        for (unsigned i = 0; i < WIDTH; i++) {
            values.at[i] = narrow((widen(values.at[i]) - mean) * rstd * widen(scale.at[i]) + widen(shift.at[i]));
        }
        store(out + (size_t)row * size + at, values);
    }
}
