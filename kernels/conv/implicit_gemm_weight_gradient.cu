// Convolution's weight gradient as implicit GEMM: dw' (K, O) is the product of x's windows,
// transposed (K, pixels), and dy (pixels, O).
//
// dw has few numbers, and each is a sum over all pixels of the batch: too few tiles to keep a
// GPU busy. So the pixels are split into chunks ("split-K"), and each block adds up one. A second
// pass, add_partials, adds the chunks' sums, always in the same order: adding with atomics would be
// one pass, but in an order, and so with a rounding, that changes from run to run.
//
// Threads: as implicit_gemm_forward.cu, with 128 numbers of K x 128 filters.
// Reads and writes: in a step of 8 pixels a thread reads 4 numbers of x and 4 of dy, neighbours in
//   both; it writes 64 sums.
// Grid: x counts tiles, filters first; y is the chunk, z the group.
#include "conv/implicit_gemm.cuh"

extern "C" __global__ void __launch_bounds__(Tile::threads, BLOCKS_AT_ONCE)
implicit_gemm_weight_gradient(const float* x, const float* dy, float* partial, long long pixels,
                              int chunk, int G, int C, int O, int H, int W, int OH, int OW,
                              int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    __shared__ Tile::Shared shared;
    __shared__ Origin origin;  // first number of K, first filter

    set_origin<BM, BN>(origin, blockIdx.x, O);
    int g = blockIdx.z, o = origin.column, K = KH * KW * C;
    long long first = (long long)blockIdx.y * chunk;
    int left = min(pixels - first, (long long)chunk);  // pixels of this chunk

    Windows on = {C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, (long long)G * C};
    long long pitch = (long long)G * O;
    WindowColumns<BM, Tile::step, Tile::threads, VECTOR_A> windows(x + g * C, on, origin.row, first,
                                                                  left);
    MatrixColumns<BN, Tile::step, Tile::threads, VECTOR_B> outputs(
        dy + first * pitch + g * O + o, pitch, O - o, left);
    float sums[TM][TN];
    accumulate<Tile>(windows, outputs, left, shared, sums);

    float* to = partial + ((long long)blockIdx.y * G + g) * O * K;
    bool aligned = K % 4 == 0;
    #pragma unroll
    for (int j = 0; j < TN; j++) {
        int column = origin.column + Tile::column(j);
        if (column >= O) continue;
        #pragma unroll
        for (int i = 0; i < TM; i += 4) {  // a filter's numbers lie along K
            int row = (int)origin.row + Tile::row(i);
            const float group[4] = {sums[i][j], sums[i + 1][j], sums[i + 2][j], sums[i + 3][j]};
            write_group(to + (long long)column * K + row, group, K - row, aligned);
        }
    }
}
