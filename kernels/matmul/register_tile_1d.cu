// Matrix product, rung 4: a column of C in registers. C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null.
//
// Threads: 512 make a 64 x 64 tile of C; each 8 numbers below each other. Block b makes the tile
//   in row b / tiles and column b % tiles of C's tiles (one-dimensional: 2^31 - 1 blocks may be).
// Reads and writes: in a step of 8 k a thread reads one number of A and one of B from global
//   memory, and 8 times 1 + 8 numbers from shared memory for 8 x 8 products. It writes 8 numbers.
// Why: on rung 3 each product takes two reads from shared memory, which is what it waits for. Here
//   a number of B, once it is in a register, serves 8 products: 9 reads for 8 products.
#include "epilogue.cuh"

#define BM 64  // rows and columns of a block's tile
#define BN 64
#define BK 8   // k of a step
#define TM 8   // numbers of a thread

extern "C" __global__ void __launch_bounds__(BM * BN / TM)
matmul(const real* A, const real* B, const real* bias, const real* add, real* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    __shared__ real a_tile[BK][BM + 4];  // stored [k][m]; a warp writes 8 k of 4 rows: 32 banks
    __shared__ real b_tile[BK][BN];

    int t = threadIdx.x, tiles_n = (N - 1) / BN + 1;
    int m0 = blockIdx.x / tiles_n * BM, n0 = blockIdx.x % tiles_n * BN;
    A += m0 * a_row;  // from here on m, n and M, N count from the tile's first number
    B += n0 * b_column;
    M -= m0;
    N -= n0;

    int m = t / BK, ka = t % BK;                  // what this thread brings of A,
    int n = t % BN, kb = t / BN;                  // and of B;
    int first = t / BN * TM;                      // its sums: rows first ... first + 7 of column n
    real sums[TM] = {};
    for (int k = 0; k < K; k += BK) {
        a_tile[ka][m] = (m < M && k + ka < K) ? A[m * a_row + (k + ka) * a_column] : (real)0;
        b_tile[kb][n] = (k + kb < K && n < N) ? B[(k + kb) * b_row + n * b_column] : (real)0;
        __syncthreads();  // the tiles are whole
        for (int i = 0; i < BK; i++) {
            real b = b_tile[i][n];
            #pragma unroll
            for (int j = 0; j < TM; j++) sums[j] += a_tile[i][first + j] * b;
        }
        __syncthreads();  // nobody reads them any more
    }

    if (n >= N) return;
    long long columns = n0 + N;  // C's, again
    #pragma unroll
    for (int j = 0; j < TM; j++) {
        if (first + j >= M) return;
        long long mn = (m0 + first + j) * columns + n0 + n;
        C[mn] = finished(bias ? sums[j] + bias[n0 + n] : sums[j], add, mn, activation);
    }
}
