// Matrix product and what follows it: C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null.
//
// Threads: a block of TILE x TILE threads makes a TILE x TILE tile of C, one number each.
//   The matrices' steps from row to row and from column to column are arguments, so a transposed
//   matrix needs no copy.
// Reads and writes: K steps of TILE; in each, a thread reads one number of A and one of B from
//   global memory into shared memory and 2 TILE from shared memory. It writes one number
//   (and reads one of bias and one of add before).
// Why: with a thread per output and no sharing, every number of A is read N times from global
//   memory. The tile brings that down to N / TILE times.
#include "epilogue.cuh"

#ifndef TILE
#define TILE 16
#endif

extern "C" __global__ void __launch_bounds__(TILE * TILE)
matmul(const real* A, const real* B, const real* bias, const real* add, real* C, int M, int N,
       int K, long long a_row, long long a_column, long long b_row, long long b_column,
       int activation)
{
    __shared__ real a_tile[TILE][TILE + 1];  // one more column: a column's cells lie in other banks
    __shared__ real b_tile[TILE][TILE + 1];

    int x = threadIdx.x, y = threadIdx.y;
    int n = blockIdx.y * TILE + x;  // grids may have 2^31 blocks in x, 65535 in y: rows are many
    int m = blockIdx.x * TILE + y;

    real total = 0;
    for (int k = 0; k < K; k += TILE) {
        a_tile[y][x] = (m < M && k + x < K) ? A[m * a_row + (k + x) * a_column] : (real)0;
        b_tile[y][x] = (k + y < K && n < N) ? B[(k + y) * b_row + n * b_column] : (real)0;
        __syncthreads();  // the tiles are whole
        for (int i = 0; i < TILE; i++)
            total += a_tile[y][i] * b_tile[i][x];
        __syncthreads();  // nobody reads them any more: they may be overwritten
    }
    if (m >= M || n >= N) return;
    long long mn = (long long)m * N + n;
    C[mn] = finished(bias ? total + bias[n] : total, add, mn, activation);
}
