// A sum over the threads of a block: within warps by shuffles, then over the warps.
#pragma once
#include "common.cuh"

// The sum over the 32 lanes of a warp, for lane 0. All 32 must call it.
__device__ __forceinline__ real warp_sum(real value)
{
    #pragma unroll
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_down_sync(0xffffffffu, value, distance);
    return value;
}

// The sum over a block of `threads` (a multiple of 32, 1024 at most), for thread 0. All must call
// it; `of_warp` is the block's room for its warps' sums.
template <int threads>
__device__ __forceinline__ real block_sum(real value, real (&of_warp)[threads / 32])
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    value = warp_sum(value);
    if (lane == 0) of_warp[warp] = value;
    __syncthreads();
    return warp == 0 ? warp_sum(lane < threads / 32 ? of_warp[lane] : (real)0) : (real)0;
}
