// Convolution's weight gradient on tensor cores. As implicit_gemm_weight_gradient.cu, with x and dy
// rounded to TF32; the tile is that of tf32_forward.cu, 128 numbers of K x 128 filters.
// Needs: sm_80
// Needs too: C and O in multiples of 4, and arrays at multiples of 16 bytes.
//
// Threads, reads, writes: as tf32_forward.cu. Grid: x counts tiles, filters first; y is the chunk
//   of pixels, z the group. add_partials.cu adds the chunks.
#include "conv/tf32.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
tf32_weight_gradient(const float* x, const float* dy, float* partial, long long pixels, int chunk,
                     int G, int C, int O, int H, int W, int OH, int OW, int KH, int KW,
                     int SH, int SW, int PH, int PW, int DH, int DW)
{
    extern __shared__ __align__(16) float shared[];
    __shared__ Origin origin;  // first number of K, first filter

    set_origin<BM, BN>(origin, blockIdx.x, O);
    int g = blockIdx.z, o = origin.column, K = KH * KW * C;
    long long first = (long long)blockIdx.y * chunk;
    int left = min(pixels - first, (long long)chunk);  // pixels of this chunk

    Windows on = {C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, (long long)G * C};
    long long pitch = (long long)G * O;
    WindowColumns<BM, STEP, THREADS, 4> windows(x + g * C, on, origin.row, first, left);
    MatrixColumns<BN, STEP, THREADS, 4> outputs(dy + first * pitch + g * O + o, pitch, O - o, left);
    Sums sums;
    accumulate(windows, outputs, left, shared, sums);

    float* to = partial + ((long long)blockIdx.y * G + g) * O * K;
    #pragma unroll
    for (int i = 0; i < WARP / 16; i++)
        #pragma unroll
        for (int j = 0; j < WARP / 8; j++)
            #pragma unroll
            for (int r = 0; r < 4; r++) {
                int row = (int)origin.row + row_of(i, r), column = origin.column + column_of(j, r);
                if (row < K && column < O) to[(long long)column * K + row] = sums[i][j][r];
            }
}
