// Convolution forward, rung 9: implicit GEMM on tensor cores. As implicit_gemm_forward.cu, with x
// and w rounded to TF32 (10 bits of fraction, so an error of up to 2^-11 a number) and summed in
// float.
// Needs: sm_80
// Needs too: C and O in multiples of 4, and arrays at multiples of 16 bytes.
//
// Threads: 128 make 128 pixels x 128 filters; a warp makes 64 x 64 of them, as 4 x 8 products of
//   (16 x 8) by (8 x 8) matrices for every 8 k. A lane holds 128 sums. Small problems: 64 x 64.
// Reads and writes: in a step of 16 k a thread copies 4 + 4 chunks of 16 bytes from global to
//   shared memory, and reads 2 times 16 + 16 numbers from there. It writes 128 numbers.
// Why: a tensor core makes 1024 products for an instruction of a warp, where its 32 lanes make 32;
//   chunks go to shared memory by cp.async, without a register to wait in, so that 2 panels can be
//   on their way and not one.
// Grid: x counts tiles, filters first; y is the group.
#include "conv/tf32.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
tf32_forward(const float* x, const float* w, const float* bias, const float* add, float* y,
             long long pixels, int G, int C, int O, int H, int W, int OH, int OW, int KH, int KW,
             int SH, int SW, int PH, int PW, int DH, int DW, int activation)
{
    extern __shared__ __align__(16) float shared[];
    __shared__ Origin origin;  // first pixel, first filter

    set_origin<BM, BN>(origin, blockIdx.x, O);
    int g = blockIdx.y, o = origin.column, K = KH * KW * C;
    Windows on = {C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, (long long)G * C};
    WindowRows<BM, STEP, THREADS, 4> windows(x + g * C, on, origin.row, pixels, 0, K);
    MatrixRows<BN, STEP, THREADS, 4> filters(w + (long long)(g * O + o) * K, K, O - o, K);
    Sums sums;
    accumulate(windows, filters, K, shared, sums);

    #pragma unroll
    for (int i = 0; i < WARP / 16; i++)
        #pragma unroll
        for (int j = 0; j < WARP / 8; j++)
            #pragma unroll
            for (int r = 0; r < 4; r += 2) {  // two neighbours in a row
                long long row = origin.row + row_of(i, r);
                int column = origin.column + column_of(j, r);
                if (row >= pixels || column >= O) continue;
                long long at = (row * G + g) * O + column;
                float2 pair = make_float2(sums[i][j][r], sums[i][j][r + 1]);
                if (bias) {
                    pair.x += bias[g * O + column];
                    pair.y += bias[g * O + column + 1];
                }
                if (add || activation) {
                    pair.x = finished_by_call(pair.x, add, at, activation);
                    pair.y = finished_by_call(pair.y, add, at + 1, activation);
                }
                *(float2*)(y + at) = pair;
            }
}
