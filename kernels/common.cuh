// Included first by every kernel: the one place where a GPU and the emulator differ.
//
// CuPy compiles these sources with NVRTC, a toolkit with nvcc, and the emulator with the C++
// compiler that is there, behind cuda_shim.h. Everything below this block is the same for all.
// NVRTC has no C headers (no stdint.h, no math.h): write `unsigned int`, `long long`.
#pragma once
#if !defined(__CUDACC__) && !defined(__CUDACC_RTC__)
#include "cuda_shim.h"
#endif

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

// The element type: float, or double by compiling with -Dreal=double (gradient checks).
#ifndef real
#define real float
#endif

// The largest finite number of a type; -REAL_MAX starts a maximum.
template <typename T> __host__ __device__ constexpr T largest();
template <> __host__ __device__ constexpr float largest<float>() { return 3.402823466e+38f; }
template <> __host__ __device__ constexpr double largest<double>() {
    return 1.7976931348623157e+308;
}
#define REAL_MAX (largest<real>())
#define REAL_INFINITY ((real)INFINITY)

// This thread's number in a one-dimensional grid. 64 bits: a batch of activations can hold more
// than 2^31 elements, and blockIdx.x * blockDim.x alone would wrap at 2^32.
__device__ __forceinline__ long long thread_index() {
    return (long long)blockIdx.x * blockDim.x + threadIdx.x;
}

// How many threads a one-dimensional grid has: the step of a grid-stride loop.
__device__ __forceinline__ long long thread_count() { return (long long)gridDim.x * blockDim.x; }

// Where an element of an array (N, H, W, C) lies. Threads are numbered as elements lie in memory, so
// neighbours differ in c.
struct Place { long long n; int h, w, c; };

#ifdef EMU_FAST
static thread_local struct { long long index; Place at; } emu_last_place;
#endif

__device__ __forceinline__ Place place_of(long long index, int H, int W, int C)
{
#ifdef EMU_FAST  // a CPU runs one thread after the other: count on from the last, without dividing
    Place& at = emu_last_place.at;
    if (index == emu_last_place.index + 1) {
        emu_last_place.index = index;
        if (++at.c < C) return at;
        at.c = 0;
        if (++at.w < W) return at;
        at.w = 0;
        if (++at.h < H) return at;
        at.h = 0;
        at.n++;
        return at;
    }
    emu_last_place.index = index;
#else
    Place at;
#endif
    at.c = index % C;  index /= C;
    at.w = index % W;  index /= W;
    at.h = index % H;
    at.n = index / H;
    return at;
}
