// What CUDA C adds to C++, spelled so that an ordinary C++ compiler understands it.
//
// The emulator compiles an unmodified .cu file behind this header. Keywords become attributes or
// nothing, built-in variables become globals, and whatever makes one CUDA thread wait for others
// (barriers, shuffles, votes) becomes a call into runtime.cpp, which plays all threads of a block
// as fibers on one CPU thread. Only C headers are used: they compile in a few milliseconds and
// need no C++ standard library.
#pragma once
// Some compilers come with C++ headers in their path, whatever -nostdinc++ says: theirs of the same
// names would define abs(float) and others a second time. This sends them on to C's.
#define _GLIBCXX_INCLUDE_NEXT_C_HEADERS
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- keywords -----------------------------------------------------------------------------------
#ifdef EMU_FAST  // only the kernel that is called is compiled, and into the loop that calls it
#define __global__ inline __attribute__((always_inline))
#else
#define __global__
#endif
#define __device__
#define __host__
#define __constant__ static
#ifdef EMU_STEP  // one can only step into a function that is called
#define __forceinline__ inline
#define always_inline noinline
#else
#define __forceinline__ inline __attribute__((always_inline))
#endif
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

// On a GPU a misaligned float4 is an error. Here it must not crash Python, so a float4 has no
// stronger alignment than a float; only in check mode, where it is found before it happens.
#ifdef EMU_CHECK
#define EMU_ALIGN(bytes) alignas((bytes) < 16 ? (bytes) : 16)
#else
#define EMU_ALIGN(bytes)
#endif
#define EMU_VECTOR(T, NAME) \
    struct EMU_ALIGN(2 * sizeof(T)) NAME##2 { T x, y; }; \
    struct NAME##3 { T x, y, z; }; \
    struct EMU_ALIGN(4 * sizeof(T)) NAME##4 { T x, y, z, w; }; \
    static inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; } \
    static inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; } \
    static inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTOR(unsigned, uint)
EMU_VECTOR(int, int)
EMU_VECTOR(float, float)
EMU_VECTOR(double, double)

#pragma GCC visibility push(hidden)
extern "C" {
#ifdef EMU_FAST  // several CPU threads run blocks of one launch (see native.py)
static thread_local uint3 threadIdx, blockIdx;
static thread_local dim3 blockDim, gridDim;
#define EMU_NO_WAITING __attribute__((error("threads of a kernel compiled for speed cannot wait")))
#else
// Constant for the kernel (each CUDA thread sees one value all its life); runtime.cpp rewrites
// them whenever it turns to another thread.
extern const uint3 threadIdx, blockIdx;
extern const dim3 blockDim, gridDim;
#define EMU_NO_WAITING
#endif
extern unsigned char emu_dynamic_shared[];

void emu_register_shared(struct emu_Variable* variable);
int emu_printf(const char* format, ...) __attribute__((format(printf, 1, 2)));
EMU_NO_WAITING void emu_syncthreads(const char* file, int line);
EMU_NO_WAITING void emu_syncwarp(unsigned mask, const char* file, int line);
unsigned long long emu_shuffle(unsigned long long value, int source, unsigned mask,
                               const char* file, int line);
unsigned emu_ballot(int predicate, unsigned mask, const char* file, int line);
int emu_lane(void);
void emu_fail(const char* what, const char* file, int line);
}
#pragma GCC visibility pop
#define warpSize 32

// ---- variables that all threads see -------------------------------------------------------------
// compiler.py puts a description beside each __shared__, __device__ or __constant__ variable: the
// runtime poisons shared memory at the start of a block, and the sanitizer knows names and bounds.
struct emu_Variable {
    const char* name;
    const volatile void* address;
    size_t bytes, item;  // of the whole, of one element
    int rank, dims[4];
    bool known;
    emu_Variable* next;
};

template <class T> struct emu_Shape {
    typedef T item;
    enum { rank = 0 };
    static constexpr int length(int) { return 0; }
};
template <class T, size_t N> struct emu_Shape<T[N]> {
    typedef typename emu_Shape<T>::item item;
    enum { rank = 1 + emu_Shape<T>::rank };
    static constexpr int length(int axis) { return axis ? emu_Shape<T>::length(axis - 1) : (int)N; }
};
#define EMU_VARIABLE(v) { \
    #v, &v, sizeof v, sizeof(typename emu_Shape<decltype(v)>::item), emu_Shape<decltype(v)>::rank, \
    {emu_Shape<decltype(v)>::length(0), emu_Shape<decltype(v)>::length(1), \
     emu_Shape<decltype(v)>::length(2), emu_Shape<decltype(v)>::length(3)}, false, nullptr}

// In check mode what the shim itself does to memory is not instrumented.
#ifdef EMU_CHECK
#define EMU_UNCHECKED __attribute__((no_sanitize("thread")))
#else
#define EMU_UNCHECKED
#endif

EMU_UNCHECKED static inline void emu_declare_shared(emu_Variable& variable) {
    if (!variable.known) emu_register_shared(&variable);
}
#ifdef EMU_CHECK
extern "C" __attribute__((visibility("hidden"))) void emu_register_device(emu_Variable* variable);
struct emu_DeviceVariable {
    explicit emu_DeviceVariable(emu_Variable& variable) { emu_register_device(&variable); }
};
#else
struct emu_DeviceVariable {
    explicit constexpr emu_DeviceVariable(emu_Variable&) {}
};
#endif
// A lock in the C library must not be held when the watchdog ends a launch.
#define printf(...) emu_printf(__VA_ARGS__)

// ---- waiting for others -------------------------------------------------------------------------
// The default arguments are the caller's file and line: they end up in error messages.
#define EMU_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

// A macro, so that all of it is on the caller's line.
#define __syncthreads() emu_syncthreads(__FILE__, __LINE__)
static inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_HERE) {
    emu_syncwarp(mask, file, line);
}
#ifdef EMU_CHECK
extern "C" __attribute__((visibility("hidden"))) void emu_threadfence(void);
static inline void __threadfence() { emu_threadfence(); }
#else
static inline void __threadfence() {}
#endif
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
#ifdef EMU_CHECK
extern "C" __attribute__((visibility("hidden")))
void emu_atomic(const volatile void* address, size_t bytes, const char* file, int line);
#else
#define emu_atomic(address, bytes, file, line) ((void)0)
#endif
#define EMU_ATOMIC(T, NAME, UPDATED) \
    EMU_UNCHECKED static inline T NAME(T* address, T value, EMU_HERE) { \
        emu_atomic(address, sizeof(T), file, line); \
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
    EMU_UNCHECKED static inline T atomicCAS(T* address, T expected, T value, EMU_HERE) { \
        emu_atomic(address, sizeof(T), file, line); \
        T old = *address; \
        if (old == expected) *address = value; \
        return old; \
    }
EMU_ATOMIC_INTEGER(int)
EMU_ATOMIC_INTEGER(unsigned)
EMU_ATOMIC_INTEGER(unsigned long long)
EMU_ATOMIC(int, atomicSub, old - value)
EMU_ATOMIC(unsigned, atomicSub, old - value)
EMU_ATOMIC(unsigned, atomicInc, old >= value ? 0 : old + 1)
EMU_ATOMIC(unsigned, atomicDec, old == 0 || old > value ? value : old - 1)
EMU_ATOMIC(float, atomicAdd, old + value)
EMU_ATOMIC(double, atomicAdd, old + value)
EMU_ATOMIC(float, atomicExch, value)

// ---- arithmetic ---------------------------------------------------------------------------------
#define __ldg(address) (*(address))  // a macro: the read is the caller's, on the caller's line

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
#define __dadd_rn(x, y) ((double)(x) + (double)(y))
#define __dsub_rn(x, y) ((double)(x) - (double)(y))
#define __dmul_rn(x, y) ((double)(x) * (double)(y))
#define __ddiv_rn(x, y) ((double)(x) / (double)(y))
#define __dsqrt_rn(x) sqrt((double)(x))

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

// ---- memory, in check mode ----------------------------------------------------------------------
#ifdef EMU_CHECK  // Clang inserts these calls itself, GCC does not
#pragma GCC visibility push(hidden)
extern "C" {
void* __tsan_memcpy(void* to, const void* from, size_t bytes);
void* __tsan_memmove(void* to, const void* from, size_t bytes);
void* __tsan_memset(void* to, int value, size_t bytes);
}
#pragma GCC visibility pop
#define memcpy(to, from, bytes) __tsan_memcpy(to, from, bytes)
#define memmove(to, from, bytes) __tsan_memmove(to, from, bytes)
#define memset(to, value, bytes) __tsan_memset(to, value, bytes)
#endif
