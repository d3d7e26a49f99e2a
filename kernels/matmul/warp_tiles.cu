// Matrix product, rung 8: warp tiles. C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null. float32.
//
// Threads: 256 make a 128 x 128 tile of C, 8 x 8 numbers each; the lanes of a warp stand in 8 rows
//   of 4 and make 64 x 32 of it. Small matrices give more blocks with 128 threads for 64 x 64,
//   8 x 4 numbers each. The loop is in gemm_tile.cuh, the matrices' reading and writing in
//   matrix.cuh.
// Reads and writes: in a step of 8 k a thread reads one float4 of A and one of B from global
//   memory, and 8 times 2 + 2 float4s from shared memory for 8 x 64 products. It writes 64 numbers.
// Why: it is rung 7 with the lanes of a warp placed otherwise. For a k, 2 x 16 lanes need 2 + 16
//   different groups of 4 numbers from shared memory and 8 x 4 lanes 8 + 4, for as many products.
//   Lanes that ask for the same group are served together.
#include "matmul/matrix.cuh"

#ifndef BM
#define BM 128
#define BN 128
#define TM 8
#define TN 8
#define LANES_M 8
#endif

using Tile = Tiling<BM, BN, 8, TM, TN, LANES_M>;

// Two blocks of 256 threads at a time on a multiprocessor leave each thread 128 registers.
extern "C" __global__ void __launch_bounds__(Tile::threads, 512 / Tile::threads)
matmul(const float* A, const float* B, const float* bias, const float* add, float* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    __shared__ Tile::Shared shared;
    int tiles_n = (N - 1) / BN + 1;
    int m = blockIdx.x / tiles_n * BM, n = blockIdx.x % tiles_n * BN;  // the tile's first number

    float sums[TM][TN];
    multiply_tile<Tile>(shared, panel_of_a(A, m, M, K, a_row, a_column),
                        panel_of_b(B, n, N, K, b_row, b_column), 0, K, sums);
    Ending{bias, add, C, M, N, activation}.write_tile<Tile>(m, n, sums);
}
