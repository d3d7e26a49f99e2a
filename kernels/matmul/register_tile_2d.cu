// Matrix product, rung 5: a square of C in registers. C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null.
//
// Threads: 256 make a 128 x 128 tile of C. Thread (x, y) of 16 x 16 makes the 64 numbers in rows
//   y, y + 16, ... and columns x, x + 16, ...: neighbouring threads read and write neighbouring
//   columns.
// Reads and writes: in a step of 8 k a thread reads 4 numbers of A and 4 of B from global memory,
//   and 8 times 8 + 8 numbers from shared memory for 8 x 64 products. It writes 64 numbers.
// Why: with 8 numbers of A and 8 of B in registers 64 products can be made: 16 reads from shared
//   memory for 64 products, where rung 4 has 9 for 8. And every number of A is read from global
//   memory N / 128 times, not N / 64 times.
#include "epilogue.cuh"

#define BM 128  // rows and columns of a block's tile
#define BN 128
#define BK 8    // k of a step
#define SIDE 16           // threads along a side of the tile
#define TM (BM / SIDE)    // a thread's rows
#define TN (BN / SIDE)    // and columns
#define THREADS (SIDE * SIDE)

extern "C" __global__ void __launch_bounds__(THREADS)
matmul(const real* A, const real* B, const real* bias, const real* add, real* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    __shared__ real a_tile[BK][BM + 4];  // both stored [k][row]; a warp that goes along k writes
    __shared__ real b_tile[BK][BN + 4];  // 8 k of 4 rows: with 4 more columns, to 32 banks

    int t = threadIdx.x, x = t % SIDE, y = t / SIDE, tiles_n = (N - 1) / BN + 1;
    int m0 = blockIdx.x / tiles_n * BM, n0 = blockIdx.x % tiles_n * BN;
    A += m0 * a_row;  // from here on m, n and M, N count from the tile's first number
    B += n0 * b_column;
    M -= m0;
    N -= n0;

    real sums[TM][TN] = {};
    for (int k = 0; k < K; k += BK) {
        #pragma unroll
        for (int q = t; q < BM * BK; q += THREADS) {
            // Neighbouring threads go along k if A's rows lie in one piece, else along m.
            int m = a_column == 1 ? q / BK : q % BM;
            int i = a_column == 1 ? q % BK : q / BM;
            a_tile[i][m] = (m < M && k + i < K) ? A[m * a_row + (k + i) * a_column] : (real)0;
        }
        #pragma unroll
        for (int q = t; q < BN * BK; q += THREADS) {
            int n = b_row == 1 ? q / BK : q % BN;
            int i = b_row == 1 ? q % BK : q / BN;
            b_tile[i][n] = (n < N && k + i < K) ? B[(k + i) * b_row + n * b_column] : (real)0;
        }
        __syncthreads();  // the tiles are whole
        for (int i = 0; i < BK; i++) {
            real column[TM], row[TN];
            #pragma unroll
            for (int j = 0; j < TM; j++) column[j] = a_tile[i][y + j * SIDE];
            #pragma unroll
            for (int j = 0; j < TN; j++) row[j] = b_tile[i][x + j * SIDE];
            #pragma unroll
            for (int a = 0; a < TM; a++)
                #pragma unroll
                for (int b = 0; b < TN; b++) sums[a][b] += column[a] * row[b];
        }
        __syncthreads();  // nobody reads them any more
    }

    long long columns = n0 + N;  // C's, again
    #pragma unroll
    for (int a = 0; a < TM; a++) {
        int m = y + a * SIDE;
        #pragma unroll
        for (int b = 0; b < TN; b++) {
            int n = x + b * SIDE;
            if (m >= M || n >= N) continue;
            long long mn = (m0 + m) * columns + n0 + n;
            real total = bias ? sums[a][b] + bias[n0 + n] : sums[a][b];
            C[mn] = finished_by_call(total, add, mn, activation);
        }
    }
}
