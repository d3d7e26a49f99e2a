// The sum of a block's numbers, by halves. The bug: only the threads that still add reach the
// barrier; the others wait at another one.
#include "common.cuh"

#define THREADS 64

extern "C" __global__ void block_sum(const float* x, float* sum)
{
    __shared__ float part[THREADS];
    int t = threadIdx.x;
    part[t] = x[t];
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half) {
            part[t] += part[t + half];
#ifndef FIXED
            __syncthreads();  // BUG
#endif
        }
#ifdef FIXED
        __syncthreads();
#endif
    }
    __syncthreads();
    if (t == 0) *sum = part[0];
}
