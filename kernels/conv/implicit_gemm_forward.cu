// Convolution forward, rung 6: implicit GEMM. y (pixels, O) is the product of im2col's matrix
// (pixels, K), which is never stored, and the filters (K, O); then y = activation(y + bias + add).
//
// Threads: 256 make 128 pixels x 128 filters, 8 x 8 numbers each, in warps of 64 x 32
//   (gemm_tile.cuh); smaller tiles for small problems.
// Reads and writes: in a step of 8 k a thread reads 4 numbers of x and 4 weights from global memory
//   with one instruction each, and 8 times 8 + 8 numbers with 2 + 2 instructions from shared memory
//   for 8 x 64 products. It writes 64 numbers.
// Why: rung 4 needs 8 reads of shared memory for 16 products, this one 4 for 64; it waits for
//   global memory once per step, this one asks for the next panel before it multiplies the present
//   one; it divides three times per number to find it, this one walks (walkers.cuh). Against im2col
//   and a product, KH*KW copies of x are neither written nor read. A 1x1 convolution is a plain
//   matrix product here.
// Grid: x counts tiles, filters first: blocks that run together share pixels; y is the group, and z
//   the part of the sum over K, where that is cut: then y gets an array for each part, and
//   add_partials.cu adds them.
#include "epilogue.cuh"
#include "conv/implicit_gemm.cuh"

extern "C" __global__ void __launch_bounds__(Tile::threads, BLOCKS_AT_ONCE)
implicit_gemm_forward(const float* x, const float* w, const float* bias, const float* add, float* y,
                      long long pixels, int G, int C, int O, int H, int W, int OH, int OW,
                      int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW,
                      int activation)
{
    __shared__ Tile::Shared shared;
    __shared__ Origin origin;  // first pixel, first filter
    __shared__ Part part;

    if (threadIdx.x == 0) part = part_of(KH * KW * C, blockIdx.z, gridDim.z);
    set_origin<BM, BN>(origin, blockIdx.x, O);
    int g = blockIdx.y, o = origin.column, K = KH * KW * C;
    Windows on = {C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, (long long)G * C};
    WindowRows<BM, Tile::step, Tile::threads, VECTOR_A> windows(x + g * C, on, origin.row,
                                                               pixels, part.first, part.length);
    MatrixRows<BN, Tile::step, Tile::threads, VECTOR_B> filters(
        w + (long long)(g * O + o) * K + part.first, K, O - o, part.length);
    float sums[TM][TN];
    accumulate<Tile>(windows, filters, part.length, shared, sums);

    y += part.number * pixels * G * O;
    bool aligned = O % 4 == 0;
    #pragma unroll
    for (int i = 0; i < TM; i++) {
        long long row = origin.row + Tile::row(i);
        if (row >= pixels) continue;
        #pragma unroll
        for (int j = 0; j < TN; j += 4) {
            int column = origin.column + Tile::column(j);
            long long at = (row * G + g) * O + column;
            #pragma unroll
            for (int e = 0; e < 4; e++)
                if (column + e < O) {
                    if (bias) sums[i][j + e] += bias[g * O + column + e];
                    if (add || activation)
                        sums[i][j + e] = finished_by_call(sums[i][j + e], add, at + e, activation);
                }
            write_group(y + at, &sums[i][j], O - column, aligned);
        }
    }
}
