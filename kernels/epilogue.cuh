// What a kernel does to a finished sum before it writes it: y = activation(z + add), where the
// activation is chosen by a number and `add` may be null.
//
// A value that is in a register anyway costs nothing more to activate; a kernel of its own would
// read and write the whole array once more. The choice is the same for all threads, so no warp
// diverges.
#pragma once
#include "lanes.cuh"

// As in minicnn.backends.cuda.epilogue.
#define ACTIVATION_NONE 0
#define ACTIVATION_RELU 1
#define ACTIVATION_RELU6 2
#define ACTIVATION_SILU 3
#define ACTIVATION_HARDSWISH 4

// x moved to the nearer of 0 and 6 where it lies outside; NaN stays NaN.
__device__ __forceinline__ Lanes clip6(Lanes x)
{
    return select(x < 0, Lanes(0), select(x > 6, Lanes(6), x));
}

// 1 / (1 + e^-x), written e^x / (1 + e^x) where x < 0: nothing overflows.
__device__ __forceinline__ Lanes logistic(Lanes x)
{
    Lanes e = exp(-fabs(x));
    return select(x < 0, e, Lanes(1)) / (1 + e);
}

__device__ __forceinline__ Lanes activate(Lanes z, int activation)
{
    switch (activation) {
    case ACTIVATION_RELU: return select(z <= 0, Lanes(0), z);  // a NaN goes through
    case ACTIVATION_RELU6: return clip6(z);
    case ACTIVATION_SILU: return z * logistic(z);
    case ACTIVATION_HARDSWISH: return z * (clip6(z + 3) / 6);
    default: return z;
    }
}

// What to write at place i, for the sum z.
__device__ __forceinline__ Lanes finished(Lanes z, const real* add, long long i, int activation)
{
    return activate(add ? z + load_lanes(add + i) : z, activation);
}

// The gradient of z from dy, that of y = activation(z), for those whose slope follows from y, or
// from z: it passes where 0 < y, and y < 6.
__device__ __forceinline__ Lanes through(Lanes dy, Lanes y, int activation)
{
    if (activation == ACTIVATION_NONE) return dy;
    Lanes kept = select(y > 0, dy, Lanes(0));
    return activation == ACTIVATION_RELU6 ? select(y < 6, kept, Lanes(0)) : kept;
}

// finished() for kernels with dozens of sums in a thread: unrolled, their code would hold every
// activation as often. What is more than a comparison is a call. (Templates are compiled only where
// they are used.)
template <typename Z>
__device__ __noinline__ Z call_activate(Z z, int activation)
{
    return activate(z, activation);
}

template <typename Z, typename T>
__device__ __forceinline__ Z finished_by_call(Z z, const T* add, long long i, int activation)
{
    if (add) z += load_lanes(add + i);
    if (activation == ACTIVATION_NONE) return z;
    if (activation == ACTIVATION_RELU) return select(z <= 0, Z(0), z);
    return call_activate(z, activation);
}
