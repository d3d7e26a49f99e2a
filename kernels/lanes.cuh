// Kernels in which a thread takes LANES neighbours: channels, as a rule.
//
// On a GPU a thread is itself one lane of a warp, whose 32 lanes do the same at once: LANES is 1, and
// a Lanes is a plain number. A CPU's core has its lanes inside a register: compiled for it with
// -DLANES=16, a thread is 16 lanes wide, and the same lines become vector instructions. Either way
// an `if` that lanes may answer differently must be a select(): a warp or a register goes one way.
#pragma once
#include "common.cuh"

#ifndef LANES
#define LANES 1
#endif

#if LANES == 1

typedef real Lanes;
typedef int IntLanes;
typedef bool Mask;

// Macros: what is read and written is the caller's, on the caller's line.
#define load_lanes(p) (*(p))
#define store_lanes(p, value) (*(p) = (value))
#define load_some(p, count) (*(p))
#define store_some(p, value, count) (*(p) = (value))
#define sum_of_lanes(x) (x)
#define first_lane(x) (x)
template <typename T> __device__ __forceinline__ T select(bool mask, T a, T b)
{
    return mask ? a : b;
}

#else  // a CPU: vectors as GCC and Clang have them, as many as make LANES numbers

#ifdef __AVX512F__
#define REGISTER 16  // floats of a register
#else
#define REGISTER 8
#endif
#ifndef WIDEST
#define WIDEST 8  // floats of a vector; a wider register is worth it where much is multiplied
#endif
#define WIDTH (LANES % WIDEST == 0 ? WIDEST : LANES % 8 == 0 ? 8 : LANES % 4 == 0 ? 4 : 2)
#define VECTORS (LANES / WIDTH)
#define EACH _Pragma("GCC unroll 16") for (int k = 0; k < VECTORS; k++)
static_assert(LANES % 2 == 0 && sizeof(real) == 4, "LANES is 1, or even and of floats");

typedef float FloatVector __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef int IntVector __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

struct Lanes {
    FloatVector v[VECTORS];
    Lanes() {}
    Lanes(float x) { EACH v[k] = x - FloatVector{}; }  // (0 + x is no copy of -0)
};
struct IntLanes {
    IntVector v[VECTORS];
    IntLanes() {}
    IntLanes(int x) { EACH v[k] = x - IntVector{}; }
};
typedef IntLanes Mask;  // -1 where true

__forceinline__ Lanes load_lanes(const float* p)
{
    Lanes r;
    EACH r.v[k] = *(const FloatVector*)(p + k * WIDTH);
    return r;
}
__forceinline__ IntLanes load_lanes(const int* p)
{
    IntLanes r;
    EACH r.v[k] = *(const IntVector*)(p + k * WIDTH);
    return r;
}
__forceinline__ void store_lanes(float* p, Lanes x) { EACH *(FloatVector*)(p + k * WIDTH) = x.v[k]; }
__forceinline__ void store_lanes(int* p, IntLanes x) { EACH *(IntVector*)(p + k * WIDTH) = x.v[k]; }

// The first `count` lanes, where others are nobody's: they are read as 0, and not written.
__forceinline__ Lanes load_some(const float* p, int count)
{
    if (count >= LANES) return load_lanes(p);
    float there[LANES] = {};
    for (int k = 0; k < count; k++) there[k] = p[k];
    return load_lanes(there);
}
__forceinline__ void store_some(float* p, Lanes x, int count)
{
    for (int k = 0; k < VECTORS; k++, p += WIDTH, count -= WIDTH) {
        if (count >= WIDTH) {
            *(FloatVector*)p = x.v[k];
            continue;
        }
        int i = 0;
        if (WIDTH > 8 && count >= 8)
            for (; i < 8; i++) p[i] = x.v[k][i];  // so many make one instruction
        for (; i < count; i++) p[i] = x.v[k][i];
        return;
    }
}

#define LANES_SELECT(T) \
    __forceinline__ T select(Mask mask, T a, T b) \
    { \
        T r; \
        EACH r.v[k] = mask.v[k] ? a.v[k] : b.v[k]; \
        return r; \
    }
LANES_SELECT(Lanes)
LANES_SELECT(IntLanes)

#define LANES_OPERATOR(R, OP, T) \
    __forceinline__ R operator OP(T a, T b) \
    { \
        R r; \
        EACH r.v[k] = a.v[k] OP b.v[k]; \
        return r; \
    }
LANES_OPERATOR(Lanes, +, Lanes)
LANES_OPERATOR(Lanes, -, Lanes)
LANES_OPERATOR(Lanes, *, Lanes)
LANES_OPERATOR(Lanes, /, Lanes)
LANES_OPERATOR(Mask, <, Lanes)
LANES_OPERATOR(Mask, >, Lanes)
LANES_OPERATOR(Mask, <=, Lanes)
LANES_OPERATOR(Mask, ==, Lanes)
LANES_OPERATOR(Mask, !=, Lanes)
LANES_OPERATOR(Mask, <, IntLanes)
LANES_OPERATOR(Mask, ==, IntLanes)
LANES_OPERATOR(Mask, |, IntLanes)
LANES_OPERATOR(Mask, &, IntLanes)
__forceinline__ Lanes& operator+=(Lanes& a, Lanes b) { return a = a + b; }
__forceinline__ Lanes& operator-=(Lanes& a, Lanes b) { return a = a - b; }
__forceinline__ Lanes operator-(Lanes a) { return Lanes(0) - a; }

__forceinline__ float first_lane(Lanes x) { return x.v[0][0]; }
__forceinline__ float sum_of_lanes(Lanes x)
{
    for (int k = 1; k < VECTORS; k++) x.v[0] += x.v[k];
    float sum = 0;
    for (int i = 0; i < WIDTH; i++) sum += x.v[0][i];
    return sum;
}

// A function of the C library, number by number.
#define LANES_FUNCTION(NAME, CALL) \
    __forceinline__ Lanes NAME(Lanes x) \
    { \
        EACH for (int i = 0; i < WIDTH; i++) x.v[k][i] = CALL(x.v[k][i]); \
        return x; \
    }
LANES_FUNCTION(sqrt, sqrtf)
LANES_FUNCTION(exp, expf)
LANES_FUNCTION(fabs, fabsf)

#endif
