// ReLU. The bug: > where >= belongs lets one thread too many through.
#include "common.cuh"

#ifdef FIXED
#define OUTSIDE i >= n
#else
#define OUTSIDE i > n
#endif

extern "C" __global__ void relu(const float* x, float* y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (OUTSIDE) return;
    float value = 0;
    if (i < n) value = x[i];
    y[i] = value > 0 ? value : 0;  // BUG
}
