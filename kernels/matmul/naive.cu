// Matrix product, rung 1: naive. C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null.
//
// Threads: one per number of C; neighbours stand below each other, in one column of C.
//   The matrices' steps from row to row and from column to column are arguments, on every rung, so
//   a transposed matrix needs no copy.
// Reads and writes: 2 K numbers read, one written, all in global memory. The 32 threads of a warp
//   read 32 rows of A, K numbers apart: 32 transfers of 32 bytes, of which 4 bytes are used.
#include "epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256)
matmul(const real* A, const real* B, const real* bias, const real* add, real* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    long long index = thread_index();
    int m = index % M;
    long long n = index / M;
    if (n >= N) return;

    real total = 0;
    for (int k = 0; k < K; k++)
        total += A[m * a_row + k * a_column] * B[k * b_row + n * b_column];

    long long mn = (long long)m * N + n;
    C[mn] = finished(bias ? total + bias[n] : total, add, mn, activation);
}
