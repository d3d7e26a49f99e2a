// What CUDA C adds to C++, spelled so that an ordinary C++ compiler understands it.
//
// The emulator compiles an unmodified .cu file behind this header. Keywords become attributes or
// nothing, built-in variables become globals, and whatever makes one CUDA thread wait for others
// (barriers, shuffles, votes) becomes a call into runtime.cpp, which plays all threads of a block
// as fibers on one CPU thread. Only C headers are used: they compile in a few milliseconds and
// need no C++ standard library.
#pragma once
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- keywords -----------------------------------------------------------------------------------
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// Blocks run one after the other, so one static variable can be every block's shared memory.
#define __shared__ static __attribute__((aligned(128)))

#ifdef _WIN32
#define EMU_EXPORT extern "C" __declspec(dllexport)
#else
#define EMU_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// ---- built-in types and variables ---------------------------------------------------------------
struct dim3 { unsigned x, y, z; };

// No stronger alignment than the elements': on a GPU a misaligned float4 is an error, here it
// must not crash Python. The launchers check the arrays themselves.
#define EMU_VECTOR(T, NAME) \
    struct NAME##2 { T x, y; }; \
    struct NAME##3 { T x, y, z; }; \
    struct NAME##4 { T x, y, z, w; }; \
    static inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; } \
    static inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; } \
    static inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTOR(unsigned, uint)
EMU_VECTOR(int, int)
EMU_VECTOR(float, float)
EMU_VECTOR(double, double)

#pragma GCC visibility push(hidden)
extern "C" {
// Constant for the kernel (each CUDA thread sees one value all its life); runtime.cpp rewrites
// them whenever it turns to another thread.
extern const uint3 threadIdx, blockIdx;
extern const dim3 blockDim, gridDim;
extern unsigned char emu_dynamic_shared[];

void emu_register_shared(void* variable, size_t bytes);
void emu_syncthreads(const char* file, int line);
void emu_syncwarp(unsigned mask, const char* file, int line);
unsigned long long emu_shuffle(unsigned long long value, int source, unsigned mask,
                               const char* file, int line);
unsigned emu_ballot(int predicate, unsigned mask, const char* file, int line);
int emu_lane(void);
void emu_fail(const char* what, const char* file, int line);
}
#pragma GCC visibility pop
#define warpSize 32

// A static object beside each __shared__ variable (put there by compiler.py): it tells the
// runtime which bytes to poison at the start of a block.
struct emu_SharedVariable {
    template <class T> explicit emu_SharedVariable(T& variable) {
        emu_register_shared((void*)&variable, sizeof(T));
    }
};

// ---- waiting for others -------------------------------------------------------------------------
// The default arguments are the caller's file and line: they end up in error messages.
#define EMU_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(EMU_HERE) { emu_syncthreads(file, line); }
static inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_HERE) {
    emu_syncwarp(mask, file, line);
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}

static inline unsigned __ballot_sync(unsigned mask, int predicate, EMU_HERE) {
    return emu_ballot(predicate, mask, file, line);
}
static inline int __any_sync(unsigned mask, int predicate, EMU_HERE) {
    return emu_ballot(predicate, mask, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, EMU_HERE) {
    return emu_ballot(!predicate, mask, file, line) == 0;
}

template <class T>
static inline T emu_shuffle_value(T value, int source, unsigned mask, const char* file, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = emu_shuffle(bits, source, mask, file, line);
    memcpy(&value, &bits, sizeof(T));
    return value;
}

// A warp is cut into segments of `width` lanes; a lane whose source lies outside its segment
// keeps its own value.
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMU_HERE) {
    int segment = emu_lane() & ~(width - 1);
    return emu_shuffle_value(value, segment + (source & (width - 1)), mask, file, line);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMU_HERE) {
    int lane = emu_lane(), segment = lane & ~(width - 1), source = lane - (int)delta;
    return emu_shuffle_value(value, source < segment ? lane : source, mask, file, line);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMU_HERE) {
    int lane = emu_lane(), segment = lane & ~(width - 1), source = lane + (int)delta;
    return emu_shuffle_value(value, source >= segment + width ? lane : source, mask, file, line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMU_HERE) {
    int lane = emu_lane(), segment = lane & ~(width - 1), source = lane ^ bits;
    return emu_shuffle_value(value, source >= segment + width ? lane : source, mask, file, line);
}

static inline void __trap(EMU_HERE) { emu_fail("__trap() was called", file, line); }
#undef assert
#define assert(condition) \
    ((condition) ? (void)0 : emu_fail("assertion failed: " #condition, __FILE__, __LINE__))

// ---- atomics ------------------------------------------------------------------------------------
// Fibers change places only where they wait, so plain reads and writes are atomic already.
#define EMU_ATOMIC(T, NAME, UPDATED) \
    static inline T NAME(T* address, T value) { \
        T old = *address; \
        *address = UPDATED; \
        return old; \
    }
#define EMU_ATOMIC_INTEGER(T) \
    EMU_ATOMIC(T, atomicAdd, old + value) \
    EMU_ATOMIC(T, atomicExch, value) \
    EMU_ATOMIC(T, atomicMax, old < value ? value : old) \
    EMU_ATOMIC(T, atomicMin, value < old ? value : old) \
    EMU_ATOMIC(T, atomicAnd, old & value) \
    EMU_ATOMIC(T, atomicOr, old | value) \
    EMU_ATOMIC(T, atomicXor, old ^ value) \
    static inline T atomicCAS(T* address, T expected, T value) { \
        T old = *address; \
        if (old == expected) *address = value; \
        return old; \
    }
EMU_ATOMIC_INTEGER(int)
EMU_ATOMIC_INTEGER(unsigned)
EMU_ATOMIC_INTEGER(unsigned long long)
EMU_ATOMIC(int, atomicSub, old - value)
EMU_ATOMIC(unsigned, atomicSub, old - value)
EMU_ATOMIC(float, atomicAdd, old + value)
EMU_ATOMIC(double, atomicAdd, old + value)
EMU_ATOMIC(float, atomicExch, value)

// ---- arithmetic ---------------------------------------------------------------------------------
template <class T> static inline T __ldg(const T* address) { return *address; }

#define EMU_MIN_MAX(T) \
    static inline T min(T a, T b) { return b < a ? b : a; } \
    static inline T max(T a, T b) { return a < b ? b : a; }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
template <class A, class B> static inline auto min(A a, B b) -> decltype(a + b) {
    return b < a ? b : a;  // operands of two types: C's usual conversions
}
template <class A, class B> static inline auto max(A a, B b) -> decltype(a + b) {
    return a < b ? b : a;
}
// In CUDA min and max of floats are fminf and fmaxf: a NaN loses against a number.
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

// CUDA overloads the C functions for float, so that one source serves both types.
#define EMU_FLOAT_1(NAME) static inline float NAME(float x) { return NAME##f(x); }
#define EMU_FLOAT_2(NAME) static inline float NAME(float x, float y) { return NAME##f(x, y); }
EMU_FLOAT_1(exp) EMU_FLOAT_1(exp2) EMU_FLOAT_1(expm1) EMU_FLOAT_1(log) EMU_FLOAT_1(log2)
EMU_FLOAT_1(log10) EMU_FLOAT_1(log1p) EMU_FLOAT_1(sqrt) EMU_FLOAT_1(cbrt) EMU_FLOAT_1(fabs)
EMU_FLOAT_1(sin) EMU_FLOAT_1(cos) EMU_FLOAT_1(tan) EMU_FLOAT_1(sinh) EMU_FLOAT_1(cosh)
EMU_FLOAT_1(tanh) EMU_FLOAT_1(erf) EMU_FLOAT_1(erfc) EMU_FLOAT_1(floor) EMU_FLOAT_1(ceil)
EMU_FLOAT_1(round) EMU_FLOAT_1(rint) EMU_FLOAT_1(trunc)
EMU_FLOAT_2(pow) EMU_FLOAT_2(fmod) EMU_FLOAT_2(fmax) EMU_FLOAT_2(fmin) EMU_FLOAT_2(atan2)
EMU_FLOAT_2(copysign)
static inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
static inline float abs(float x) { return fabsf(x); }
static inline double abs(double x) { return fabs(x); }
static inline long long abs(long long x) { return llabs(x); }

// C libraries declare some of CUDA's names themselves (rsqrtf since C23, glibc's __expf): a
// macro wins over either.
static inline float emu_rsqrt(float x) { return 1.0f / sqrtf(x); }
static inline double emu_rsqrt(double x) { return 1.0 / sqrt(x); }
#define rsqrtf(x) emu_rsqrt((float)(x))
#define rsqrt(x) emu_rsqrt(x)
#define __expf(x) expf(x)
#define __exp10f(x) powf(10.0f, x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __powf(x, y) powf(x, y)
#define __fdividef(x, y) ((float)(x) / (float)(y))
#define __saturatef(x) fminf(fmaxf(x, 0.0f), 1.0f)
// Named roundings: on a GPU they keep a product and a sum from being fused into one FMA.
#define __fadd_rn(x, y) ((float)(x) + (float)(y))
#define __fsub_rn(x, y) ((float)(x) - (float)(y))
#define __fmul_rn(x, y) ((float)(x) * (float)(y))
#define __fdiv_rn(x, y) ((float)(x) / (float)(y))
#define __fmaf_rn(x, y, z) fmaf(x, y, z)
#define __fsqrt_rn(x) sqrtf(x)
#define __frcp_rn(x) (1.0f / (float)(x))

// ---- bits ---------------------------------------------------------------------------------------
template <class To, class From> static inline To emu_reinterpret(From from) {
    static_assert(sizeof(To) == sizeof(From), "reinterpretation keeps the size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline int __float_as_int(float x) { return emu_reinterpret<int>(x); }
static inline unsigned __float_as_uint(float x) { return emu_reinterpret<unsigned>(x); }
static inline float __int_as_float(int x) { return emu_reinterpret<float>(x); }
static inline float __uint_as_float(unsigned x) { return emu_reinterpret<float>(x); }
static inline long long __double_as_longlong(double x) { return emu_reinterpret<long long>(x); }
static inline double __longlong_as_double(long long x) { return emu_reinterpret<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
