// Matrix product, rung 2: coalesced. C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null.
//
// Threads: one per number of C; neighbours stand side by side, in one row of C.
// Reads and writes: 2 K numbers read, one written, all in global memory.
// Why: it is rung 1 with the roles of m and n exchanged, and that is all. The threads of a warp now
//   read one number of A, which is handed to all 32 at once, and 32 neighbours of a row of B: four
//   whole transfers of 32 bytes, where rung 1 needs 32.
#include "epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256)
matmul(const real* A, const real* B, const real* bias, const real* add, real* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    long long index = thread_index();
    int n = index % N;
    long long m = index / N;
    if (m >= M) return;

    real total = 0;
    for (int k = 0; k < K; k++)
        total += A[m * a_row + k * a_column] * B[k * b_row + n * b_column];

    long long mn = m * N + n;
    C[mn] = finished(bias ? total + bias[n] : total, add, mn, activation);
}
