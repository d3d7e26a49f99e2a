// Matrix product, rung 7: double buffering. C[m,n] = activation(z + add[m,n]), with
// z = bias[n] + sum over k of A[m,k] B[k,n]. bias and add may be null. float32.
//
// Threads: as on rung 6, 256 make a 128 x 128 tile of C, 8 x 8 numbers each in groups of 4 x 4; the
//   lanes of a warp stand in 2 rows of 16. The loop is in gemm_tile.cuh, the matrices' reading
//   and writing in matrix.cuh.
// Reads and writes: as on rung 6.
// Why: on rung 6 all threads wait, in every step, hundreds of cycles for numbers from global
//   memory. Here the next step's numbers are asked for before this step's products are made, and
//   are put into a second pair of tiles afterwards: the products hide the way. One barrier a step
//   is left.
#include "matmul/matrix.cuh"

#define BM 128
#define BN 128

using Tile = Tiling<BM, BN, 8, 8, 8, 2>;

extern "C" __global__ void __launch_bounds__(Tile::threads, 2)
matmul(const float* A, const float* B, const float* bias, const float* add, float* C,
       int M, int N, int K, long long a_row, long long a_column, long long b_row,
       long long b_column, int activation)
{
    __shared__ Tile::Shared shared;
    int tiles_n = (N - 1) / BN + 1;
    int m = blockIdx.x / tiles_n * BM, n = blockIdx.x % tiles_n * BN;  // the tile's first number

    float sums[8][8];
    multiply_tile<Tile>(shared, panel_of_a(A, m, M, K, a_row, a_column),
                        panel_of_b(B, n, N, K, b_row, b_column), 0, K, sums);
    Ending{bias, add, C, M, N, activation}.write_tile<Tile>(m, n, sums);
}
