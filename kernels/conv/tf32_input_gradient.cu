// Convolution's input gradient on tensor cores. As implicit_gemm_input_gradient.cu, with dy and w
// rounded to TF32; the tile is that of tf32_forward.cu.
// Needs: sm_80
// Needs too: C and O in multiples of 4, and arrays at multiples of 16 bytes.
//
// Threads, reads, writes: as tf32_forward.cu. Grid: x counts tiles, channels first; y is the class,
//   z the group.
#include "conv/remainder.cuh"
#include "conv/tf32.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
tf32_input_gradient(const float* dy, const float* w, float* dx, long long images, int G, int C,
                    int O, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW,
                    int PH, int PW, int DH, int DW)
{
    extern __shared__ __align__(16) float shared[];
    __shared__ Origin origin;  // first pixel of the class, first channel
    __shared__ Remainder down, across;

    if (threadIdx.x == 0) {
        down = remainder_class(blockIdx.y / SW, KH, SH, PH, DH, H);
        across = remainder_class(blockIdx.y % SW, KW, SW, PW, DW, W);
    }
    set_origin<BM, BN>(origin, blockIdx.x, C);
    long long pixels = images * down.size * across.size;
    if (origin.row >= pixels) return;  // this class is a smaller one

    int g = blockIdx.z, c = origin.column, K = down.cells * across.cells * O;
    Windows on = {O, OH, OW, down.size, across.size, down.cells, across.cells, 1, 1,
                  -down.base, -across.base, -down.fall, -across.fall, (long long)G * O};
    Cells cells = {down.u0, down.us, down.cells, across.u0, across.us, across.cells};
    WindowRows<BM, STEP, THREADS, 4> windows(dy + g * O, on, origin.row, pixels, 0, K);
    FilterColumns<BN, STEP, THREADS, 4> filters(w + (long long)g * O * KH * KW * C + c, cells, C, O,
                                                KH, KW, C - c, 0, K);
    Sums sums;
    accumulate(windows, filters, K, shared, sums);

    Pixel first = pixel_at(origin.row, down.size, across.size);
    #pragma unroll
    for (int i = 0; i < WARP / 16; i++)
        #pragma unroll
        for (int r = 0; r < 4; r += 2) {
            if (origin.row + row_of(i, r) >= pixels) continue;
            Pixel q = pixel_after(first, row_of(i, r), down.size, across.size);
            long long row = (q.n * H + down.h0 + q.i * SH) * W + across.h0 + q.j * SW;
            #pragma unroll
            for (int j = 0; j < WARP / 8; j++) {  // two neighbours in a row
                int column = origin.column + column_of(j, r);
                if (column < C)
                    *(float2*)(dx + (row * G + g) * C + column) =
                        make_float2(sums[i][j][r], sums[i][j][r + 1]);
            }
        }
}
