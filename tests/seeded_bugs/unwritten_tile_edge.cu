// A one-dimensional convolution with a kernel of 3; the block's part of x lies in shared memory,
// with one number more on both sides. The bug: nobody writes the number on the right.
#include "common.cuh"

#define THREADS 64

extern "C" __global__ void convolve(const float* x, const float* w, float* y, int n)
{
    __shared__ float tile[THREADS + 2];
    int t = threadIdx.x, i = blockIdx.x * THREADS + t;
    tile[t + 1] = x[i];
    if (t == 0) tile[0] = i > 0 ? x[i - 1] : 0;
#ifdef FIXED
    if (t == THREADS - 1) tile[t + 2] = i + 1 < n ? x[i + 1] : 0;
#endif
    __syncthreads();
    float total = 0;
    for (int u = 0; u < 3; u++)
        total += w[u] * tile[t + u];  // BUG
    y[i] = total;
}
