// What stands before every kernel: the type of the values, access to several of them at once, and the few instructions
// that C has no word for. A kernel may be added beside these files without touching this one.
//
// Defined from outside: ELEMENT, 0 for f32, 1 for f16, 2 for bf16; WIDTH, how many values one access moves. EMULATED is
// set where the tests compile this for a processor; their header then brings those instructions itself.

#define THREADS_IN_WARP 32
#define ALL_LANES 0xffffffffu

#ifndef EMULATED
#define SHARED_MEMORY(name) extern __shared__ float name[]
#define NEGATIVE_INFINITY __int_as_float(0xff800000)

static __device__ __forceinline__ float f16_to_float(unsigned short x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}

static __device__ __forceinline__ unsigned short float_to_f16(float x) {
    unsigned short y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
#endif

#if ELEMENT == 0
typedef float element;

static __device__ __forceinline__ float widen(element x) { return x; }

static __device__ __forceinline__ element narrow(float x) { return x; }
#elif ELEMENT == 1
typedef unsigned short element;

static __device__ __forceinline__ float widen(element x) { return f16_to_float(x); }

static __device__ __forceinline__ element narrow(float x) { return float_to_f16(x); }
#else
typedef unsigned short element;

static __device__ __forceinline__ float widen(element x) { return __uint_as_float((unsigned)x << 16); }

// To nearest, ties to even. What is no number stays none: rounding could carry it over to zero.
static __device__ __forceinline__ element narrow(float x) {
    unsigned bits = __float_as_uint(x);
    unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (element)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}
#endif

// WIDTH values that lie side by side, moved by one access.
struct alignas(sizeof(element) * WIDTH) pack {
    element at[WIDTH];
};

static __device__ __forceinline__ pack load(const element* from) { return *(const pack*)from; }

static __device__ __forceinline__ void store(element* to, const pack& values) { *(pack*)to = values; }
