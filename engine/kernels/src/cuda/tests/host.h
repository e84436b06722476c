// Enough of CUDA to run a kernel on a processor: the threads of a block take turns as coroutines, and wait for one
// another where the kernel says so. Included before the kernel; only the tests use it.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>

#define EMULATED
#define __device__
#define __global__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define NEGATIVE_INFINITY (-HUGE_VALF)
#define SHARED_MEMORY(name) float* name = host::shared

namespace host {
const unsigned MOST_THREADS = 1024, LANES = 32, STACK = 1 << 16;

struct Index {
    unsigned x, y, z;
};

// Threads that wait for one another.
struct Barrier {
    unsigned members, arrived, passed;
};

struct Thread {
    ucontext_t context;
    bool done;
};

static Index block_index, block_size, grid_size;
static float* shared;
static unsigned current;
static Thread threads[MOST_THREADS];
static ucontext_t scheduler;
static Barrier block_barrier, warp_barriers[MOST_THREADS / LANES];
// What the lanes of a warp show one another, in two turns, so that one wait is enough.
static unsigned shown[MOST_THREADS][2][8];
static unsigned turns[MOST_THREADS];
static void (*body)(void*);
static void* argument;
static char* stacks;

static void wait(Barrier& barrier) {
    const unsigned passed = barrier.passed;
    if (++barrier.arrived == barrier.members) {
        barrier.arrived = 0;
        barrier.passed++;
        return;
    }
    while (barrier.passed == passed) swapcontext(&threads[current].context, &scheduler);
}

static Index thread_index() { return {current, 0, 0}; }

// Shows `count` words to the warp; what lane `lane` showed is then at words(lane).
static void show(const void* words, unsigned count) {
    turns[current] ^= 1;
    memcpy(shown[current][turns[current]], words, count * 4);
    wait(warp_barriers[current / LANES]);
}

static unsigned* words(unsigned lane) { return shown[current / LANES * LANES + lane][turns[current]]; }

static void start() {
    body(argument);
    threads[current].done = true;
    // Those that go on do not wait for it.
    block_barrier.members--;
    if (block_barrier.members > 0 && block_barrier.arrived == block_barrier.members) {
        block_barrier.arrived = 0;
        block_barrier.passed++;
    }
    swapcontext(&threads[current].context, &scheduler);
}

static void run_block(unsigned count) {
    block_barrier = {count, 0, 0};
    for (unsigned warp = 0; warp * LANES < count; warp++) warp_barriers[warp] = {LANES, 0, 0};
    for (unsigned at = 0; at < count; at++) {
        Thread& thread = threads[at];
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = stacks + (size_t)at * STACK;
        thread.context.uc_stack.ss_size = STACK;
        thread.context.uc_link = nullptr;
        thread.done = false;
        turns[at] = 0;
        makecontext(&thread.context, start, 0);
    }
    for (bool running = true; running;) {
        running = false;
        for (current = 0; current < count; current++) {
            if (threads[current].done) continue;
            running = true;
            swapcontext(&scheduler, &threads[current].context);
        }
    }
}

template <typename... A, size_t... I>
static void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*(std::remove_cv_t<A>*)arguments[I]...);
}

// As cuLaunchKernel: `arguments` point at the kernel's.
template <typename... A>
static void launch(
    void (*kernel)(A...), const unsigned grid[3], unsigned count, unsigned shared_bytes, void** arguments) {
    static void (*chosen)(A...);
    chosen = kernel;
    body = [](void* arguments) { call(chosen, (void**)arguments, std::index_sequence_for<A...>()); };
    argument = arguments;
    block_size = {count, 1, 1};
    grid_size = {grid[0], grid[1], grid[2]};
    stacks = (char*)malloc((size_t)count * STACK);
    shared = (float*)aligned_alloc(16, shared_bytes + 16);
    for (unsigned z = 0; z < grid[2]; z++) {
        for (unsigned y = 0; y < grid[1]; y++) {
            for (unsigned x = 0; x < grid[0]; x++) {
                // What is read before it is written is no number.
                memset(shared, 0xff, shared_bytes);
                block_index = {x, y, z};
                run_block(count);
            }
        }
    }
    free(shared);
    free(stacks);
}
}  // namespace host

#define threadIdx host::thread_index()
#define blockIdx host::block_index
#define blockDim host::block_size
#define gridDim host::grid_size

static unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }

static float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}

// What the compilers of the day call sixteen bits: GCC 12 has _Float16 in C++ on x86 alone.
#if defined(__aarch64__)
typedef __fp16 sixteen_bits;
#else
typedef _Float16 sixteen_bits;
#endif

static float f16_to_float(unsigned short bits) {
    sixteen_bits x;
    memcpy(&x, &bits, 2);
    return x;
}

static unsigned short float_to_f16(float x) {
    const sixteen_bits rounded = x;
    unsigned short bits;
    memcpy(&bits, &rounded, 2);
    return bits;
}

struct float4 {
    float x, y, z, w;
};

static void __syncthreads() { host::wait(host::block_barrier); }

static void __syncwarp() { host::wait(host::warp_barriers[host::current / host::LANES]); }

static float __shfl_xor_sync(unsigned, float x, int mask) {
    host::show(&x, 1);
    return __uint_as_float(host::words((host::current % host::LANES) ^ mask)[0]);
}

// What attention_tensor.cu says in assembly, after NVIDIA's PTX manual.
#if ELEMENT != 0
static float half_of(unsigned pair, unsigned which) {
    const unsigned short bits = pair >> (16 * which);
#if ELEMENT == 1
    return f16_to_float(bits);
#else
    return __uint_as_float((unsigned)bits << 16);
#endif
}

static unsigned narrow_pair(float first, float second);

static void multiply(float d[4], const unsigned a[4], const unsigned b[2]) {
    unsigned own[6];
    memcpy(own, a, 16);
    memcpy(own + 4, b, 8);
    host::show(own, 6);
    const unsigned lane = host::current % host::LANES;
    for (unsigned i = 0; i < 4; i++) {
        // d: row group, 8 lower from the third on; column 2 · place, then its neighbour.
        const unsigned row = lane / 4 + (i >= 2 ? 8 : 0), column = lane % 4 * 2 + i % 2;
        for (unsigned k = 0; k < 16; k++) {
            // a: registers hold (row, k), (row + 8, k), (row, k + 8), (row + 8, k + 8), pairs of neighbouring k.
            const unsigned* factor = host::words(row % 8 * 4 + k % 8 / 2);
            const float left = half_of(factor[(row >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0)], k % 2);
            // b: a lane's column is its group; registers hold k, then k + 8, pairs of neighbouring k.
            const float right = half_of(host::words(column * 4 + k % 8 / 2)[4 + (k >= 8 ? 1 : 0)], k % 2);
            d[i] += left * right;
        }
    }
}

static void load_transposed(unsigned to[2], const unsigned short* row) {
    host::show(&row, 2);
    const unsigned lane = host::current % host::LANES;
    for (unsigned matrix = 0; matrix < 2; matrix++) {
        // Transposed: of each pair the rows are neighbours, the column is the lane's group.
        to[matrix] = 0;
        for (unsigned i = 0; i < 2; i++) {
            const unsigned short* from;
            memcpy(&from, host::words(matrix * 8 + lane % 4 * 2 + i), 8);
            to[matrix] |= (unsigned)from[lane / 4] << (16 * i);
        }
    }
}
#endif
