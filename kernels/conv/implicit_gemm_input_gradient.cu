// Convolution's input gradient as implicit GEMM: dx (pixels, C) is the product of dy's windows
// (pixels, K') and the filters (K', C), where K' counts (cell, filter).
//
// With a stride, pixels are split by remainder into SH * SW classes (remainder.cuh). No product
// with a zero is computed, and nothing is scattered.
//
// Threads, reads, writes: as implicit_gemm_forward.cu; the filters' numbers lie across k.
// Grid: x counts tiles, channels first; y is the class, and the part of the sum, where that is cut,
//   as in implicit_gemm_forward.cu; z is the group.
#include "conv/implicit_gemm.cuh"
#include "conv/remainder.cuh"

#ifndef SPLIT
#define SPLIT 0  // 1: the sum is cut into parts, each with an array of its own
#endif

extern "C" __global__ void __launch_bounds__(Tile::threads, BLOCKS_AT_ONCE)
implicit_gemm_input_gradient(const float* dy, const float* w, float* dx, long long images, int G,
                             int C, int O, int H, int W, int OH, int OW, int KH, int KW,
                             int SH, int SW, int PH, int PW, int DH, int DW)
{
    __shared__ Tile::Shared shared;
    __shared__ Origin origin;  // first pixel of the class, first channel
    __shared__ Remainder down, across;
    __shared__ Part part;

    if (threadIdx.x == 0) {
        int parts = SPLIT ? gridDim.y / (SH * SW) : 1;
        down = remainder_class(blockIdx.y / parts / SW, KH, SH, PH, DH, H);
        across = remainder_class(blockIdx.y / parts % SW, KW, SW, PW, DW, W);
        if (SPLIT) part = part_of(down.cells * across.cells * O, blockIdx.y % parts, parts);
    }
    set_origin<BM, BN>(origin, blockIdx.x, C);
    if (origin.row >= images * down.size * across.size) return;  // this class is a smaller one

    int g = blockIdx.z, c = origin.column, K = down.cells * across.cells * O;
    int k = SPLIT ? part.first : 0, left = SPLIT ? part.length : K;
    Windows on = {O, OH, OW, down.size, across.size, down.cells, across.cells, 1, 1,
                  -down.base, -across.base, -down.fall, -across.fall, (long long)G * O};
    Cells cells = {down.u0, down.us, down.cells, across.u0, across.us, across.cells};
    WindowRows<BM, Tile::step, Tile::threads, VECTOR_A> windows(
        dy + g * O, on, origin.row, images * down.size * across.size, k, left);
    FilterColumns<BN, Tile::step, Tile::threads, VECTOR_B> filters(
        w + (long long)g * O * KH * KW * C + c, cells, C, O, KH, KW, C - c, k, left);
    float sums[TM][TN];
    accumulate<Tile>(windows, filters, left, shared, sums);

    __syncthreads();  // (the compiler is to read `down` and `across` again)
    if (SPLIT) dx += part.number * images * H * W * G * C;
    bool aligned = C % 4 == 0;
    long long pixels = images * down.size * across.size;
    Pixel first = pixel_at(origin.row, down.size, across.size);
    #pragma unroll
    for (int i = 0; i < TM; i++) {
        if (origin.row + Tile::row(i) >= pixels) continue;
        Pixel q = pixel_after(first, Tile::row(i), down.size, across.size);
        long long row = (q.n * H + down.h0 + q.i * SH) * W + across.h0 + q.j * SW;
        #pragma unroll
        for (int j = 0; j < TN; j += 4) {
            int column = origin.column + Tile::column(j);
            write_group(dx + (row * G + g) * C + column, &sums[i][j], C - column, aligned);
        }
    }
}
