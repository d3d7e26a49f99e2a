// The gradient of a bias, db[c] = sum over r of dy[r,c], one block for each row r. The bug: blocks
// add to the same element without an atomic operation, so additions get lost.
#include "common.cuh"

extern "C" __global__ void bias_gradient(const float* dy, float* db, int C)
{
    int c = threadIdx.x;
    float value = dy[blockIdx.x * C + c];
#ifdef FIXED
    atomicAdd(&db[c], value);
#else
    db[c] += value;  // BUG
#endif
}
