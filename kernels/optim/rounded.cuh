// Arithmetic in which every result is rounded once, as NumPy's: the compiler may not join a product
// and a sum to a fused multiply-add.
#pragma once
#ifdef __clang__
#pragma clang fp contract(off)
#elif defined(EMU_FAST)
#pragma GCC optimize("fp-contract=off")
#endif
#include "lanes.cuh"

__device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double times(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ float plus(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ double plus(double a, double b) { return __dadd_rn(a, b); }
__device__ __forceinline__ float over(float a, float b) { return __fdiv_rn(a, b); }
__device__ __forceinline__ double over(double a, double b) { return __ddiv_rn(a, b); }
__device__ __forceinline__ float root_of(float a) { return __fsqrt_rn(a); }
__device__ __forceinline__ double root_of(double a) { return __dsqrt_rn(a); }
#if LANES > 1
__device__ __forceinline__ Lanes times(Lanes a, Lanes b) { return a * b; }
__device__ __forceinline__ Lanes plus(Lanes a, Lanes b) { return a + b; }
#endif
