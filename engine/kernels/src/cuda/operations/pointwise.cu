// What follows a product value by value, and the copy that comes before some convolutions. Rows are pixels or tokens,
// columns their channels. Another activation belongs into `activate` here, in launch order with `number` in pointwise.rs.

enum { NONE, RELU, SILU, QUICK_GELU, GELU };

static __device__ __forceinline__ float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }

static __device__ __forceinline__ float activate(float x, unsigned activation) {
    switch (activation) {
        // Not fmaxf, which would turn what is no number into 0.
        case RELU: return x < 0.0f ? 0.0f : x;
        case SILU: return x / (1.0f + expf(-x));
        case QUICK_GELU: return x / (1.0f + expf(-1.702f * x));
        case GELU: return gelu(x);
        default: return x;
    }
}

// out = activation(y + bias + shift + residual) for y (rows, columns); bias (columns), shift (rows / rows_per_sample,
// columns) and residual (rows, columns) may be null.
extern "C" __global__ void finish(
    const element* y, const element* bias, const element* shift, const element* residual, element* out,
    unsigned rows, unsigned columns, unsigned rows_per_sample, unsigned activation) {
    const unsigned packs = columns / WIDTH;
    for (unsigned at = blockIdx.x * blockDim.x + threadIdx.x; at < rows * packs; at += gridDim.x * blockDim.x) {
        const unsigned row = at / packs, column = at % packs * WIDTH;
        const size_t place = (size_t)at * WIDTH;
        pack values = load(y + place), extra;
        float sums[WIDTH];
        for (unsigned i = 0; i < WIDTH; i++) sums[i] = widen(values.at[i]);
        if (bias) {
            extra = load(bias + column);
            for (unsigned i = 0; i < WIDTH; i++) sums[i] += widen(extra.at[i]);
        }
        if (shift) {
            extra = load(shift + (size_t)(row / rows_per_sample) * columns + column);
            for (unsigned i = 0; i < WIDTH; i++) sums[i] += widen(extra.at[i]);
        }
        if (residual) {
            extra = load(residual + place);
            for (unsigned i = 0; i < WIDTH; i++) sums[i] += widen(extra.at[i]);
        }
        for (unsigned i = 0; i < WIDTH; i++) values.at[i] = narrow(activate(sums[i], activation));
        store(out + place, values);
    }
}

// out = a · GELU(g) where each row of x (rows, 2 · columns) is a, then g; bias (2 · columns) may be null.
extern "C" __global__ void geglu(
    const element* x, const element* bias, element* out, unsigned rows, unsigned columns) {
    const unsigned packs = columns / WIDTH;
    for (unsigned at = blockIdx.x * blockDim.x + threadIdx.x; at < rows * packs; at += gridDim.x * blockDim.x) {
        const unsigned row = at / packs, column = at % packs * WIDTH;
        const element* own = x + (size_t)row * 2 * columns + column;
        pack values = load(own), gates = load(own + columns);
        float a[WIDTH], g[WIDTH];
        for (unsigned i = 0; i < WIDTH; i++) {
            a[i] = widen(values.at[i]);
            g[i] = widen(gates.at[i]);
        }
        if (bias) {
            values = load(bias + column);
            gates = load(bias + columns + column);
            for (unsigned i = 0; i < WIDTH; i++) {
                a[i] += widen(values.at[i]);
                g[i] += widen(gates.at[i]);
            }
        }
        for (unsigned i = 0; i < WIDTH; i++) values.at[i] = narrow(a[i] * gelu(g[i]));
        store(out + (size_t)at * WIDTH, values);
    }
}

// The image x (B, height, width, channels) into one of (B, out_height, out_width, channels): each pixel 4^doublings
// times, and zeros after the last row and column.
extern "C" __global__ void spread(
    const element* x, element* out, unsigned pixels, unsigned height, unsigned width, unsigned channels,
    unsigned out_height, unsigned out_width, unsigned doublings) {
    const unsigned packs = channels / WIDTH;
    for (unsigned at = blockIdx.x * blockDim.x + threadIdx.x; at < pixels * packs; at += gridDim.x * blockDim.x) {
        const unsigned pixel = at / packs, line = pixel / out_width;
        const unsigned column = pixel % out_width >> doublings, row = line % out_height >> doublings;
        pack values = {};
        if (row < height && column < width) {
            const size_t source = ((size_t)(line / out_height) * height + row) * width + column;
            values = load(x + source * channels + at % packs * WIDTH);
        }
        store(out + (size_t)at * WIDTH, values);
    }
}
