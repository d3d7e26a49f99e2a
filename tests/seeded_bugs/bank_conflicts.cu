// A 32 x 32 transpose through shared memory. The bug: a column of the tile lies in one bank.
#include "common.cuh"

#ifdef FIXED
#define PITCH 33
#else
#define PITCH 32
#endif

extern "C" __global__ void transpose(const float* x, float* y)
{
    __shared__ float tile[32][PITCH];
    tile[threadIdx.y][threadIdx.x] = x[threadIdx.y * 32 + threadIdx.x];
    __syncthreads();
    y[threadIdx.y * 32 + threadIdx.x] =
        tile[threadIdx.x][threadIdx.y];  // BUG
}
