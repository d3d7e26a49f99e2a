"""Solutions of 16."""

import numpy as np

my_saxpy = r"""
extern "C" __global__ void my_saxpy(float a, const float* x, float* y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}
"""


def my_sectors(addresses):
    return len(np.unique(addresses // 32))


my_transpose = r"""
extern "C" __global__ void my_transpose(const float* x, float* y, int R, int C)
{
    __shared__ float tile[32][33];
    int i = threadIdx.x, j = threadIdx.y;
    int r = 32 * blockIdx.y, c = 32 * blockIdx.x;
    if (r + j < R && c + i < C) tile[j][i] = x[(r + j) * C + c + i];
    __syncthreads();
    if (c + j < C && r + i < R) y[(c + j) * R + r + i] = tile[i][j];
}
"""


def my_bank_cycles(words):
    return int(np.bincount(np.unique(words) % 32).max())
