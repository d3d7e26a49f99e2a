// Matrix product C = A B of n x n matrices by 8 x 8 tiles in shared memory.
// The bug: nobody waits until the tiles are whole.
#include "common.cuh"

#define TILE 8

extern "C" __global__ void matmul(const float* A, const float* B, float* C, int n)
{
    __shared__ float a_tile[TILE][TILE], b_tile[TILE][TILE];
    int x = threadIdx.x, y = threadIdx.y;
    int row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
    float total = 0;
    for (int k = 0; k < n; k += TILE) {
        a_tile[y][x] = A[row * n + k + x];
        b_tile[y][x] = B[(k + y) * n + column];
#ifdef FIXED
        __syncthreads();
#endif
        for (int i = 0; i < TILE; i++)
            total += a_tile[y][i] * b_tile[i][x];  // BUG
        __syncthreads();
    }
    C[row * n + column] = total;
}
