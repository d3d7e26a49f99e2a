// Matrix product, rung 9: the sum over k cut into parts, for a small C and a long K, such as a
// convolution's weight gradient (64 x 576 numbers, each a sum over all pixels of a batch).
// C[m,n] = activation(z + add[m,n]), with z = bias[n] + sum over k of A[m,k] B[k,n]. float32.
//
// parts: block b makes tile b % tiles of C over part b / tiles of the k. A tile is 64 x 64, made by
//   128 threads as on rung 8. What it finds goes to partial (parts, M, N).
// join: a thread per number of C adds up its parts, always in the same order, and ends the sum.
// Reads and writes: parts as rung 8, with parts * M * N numbers written; join reads those again.
// Why: rung 8 would make 9 blocks of 64 x 64 for such a C, and most of the GPU would stand idle.
//   Adding up by atomics would need no second pass, but give other bits on every run.
#include "matmul/matrix.cuh"

#define BM 64
#define BN 64
#define TM 8
#define TN 4

using Tile = Tiling<BM, BN, 8, TM, TN, 4>;

// part_k, the k of a part, is a multiple of 8: no step of a part reaches into the next.
extern "C" __global__ void __launch_bounds__(Tile::threads, 512 / Tile::threads)
parts(const float* A, const float* B, float* partial, int M, int N, int K, int part_k,
      long long a_row, long long a_column, long long b_row, long long b_column)
{
    __shared__ Tile::Shared shared;
    int tiles_n = (N - 1) / BN + 1, tiles = ((M - 1) / BM + 1) * tiles_n;
    int tile = blockIdx.x % tiles, part = blockIdx.x / tiles;
    int m = tile / tiles_n * BM, n = tile % tiles_n * BN;  // the tile's first number
    int first = part * part_k, last = min(K - first, part_k) + first;

    float sums[TM][TN];
    multiply_tile<Tile>(shared, panel_of_a(A, m, M, K, a_row, a_column),
                        panel_of_b(B, n, N, K, b_row, b_column), first, last, sums);
    float* C = partial + (long long)part * M * N;
    Ending{0, 0, C, M, N, ACTIVATION_NONE}.write_tile<Tile>(m, n, sums);
}

extern "C" __global__ void __launch_bounds__(256)
join(const float* partial, const float* bias, const float* add, float* C, long long elements,
     int N, int parts, int activation)
{
    long long mn = thread_index();
    if (mn >= elements) return;
    float total = 0;
    for (int part = 0; part < parts; part++) total += partial[part * elements + mn];
    C[mn] = finished(bias ? total + bias[mn % N] : total, add, mn, activation);
}
