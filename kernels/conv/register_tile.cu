// Convolution forward, rung 4: a thread makes a tile of results, too, and keeps it in registers.
//
// The sums are those of rung 3.
//
// Threads: 256 in a block of 64 pixels x 64 filters, each 4 pixels x 4 filters: thread (a, b) takes
//   pixels a, a + 16, ... and filters b, b + 16, ..., so that neighbours read neighbouring numbers.
// Reads and writes: K steps of 8. In each a thread reads 2 numbers of x and 2 weights from global
//   memory; then for each k 4 + 4 numbers from shared memory, which it uses in 16 products. It
//   writes 16 numbers.
// Why: rung 3 reads 2 numbers from shared memory for each product, and waits for them. Here it is
//   half a number, and 16 products do not wait for each other.
#include "epilogue.cuh"

#define BLOCK 64  // pixels, and filters, of a block
#define DEPTH 8   // numbers of K in a step
#define SIDE 4    // pixels, and filters, of a thread
#define ACROSS (BLOCK / SIDE)

extern "C" __global__ void __launch_bounds__(ACROSS * ACROSS)
register_tile_forward(const real* x, const real* w, const real* bias, const real* add, real* y,
                      long long pixels, int G, int C, int O, int H, int W, int OH, int OW,
                      int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW,
                      int activation)
{
    __shared__ real windows[DEPTH][BLOCK + 4];  // k, pixel
    __shared__ real filters[DEPTH][BLOCK + 4];  // k, filter

    int g = blockIdx.y, tiles = (O + BLOCK - 1) / BLOCK, K = KH * KW * C;
    int first = blockIdx.x % tiles * BLOCK;
    long long start = blockIdx.x / tiles * (long long)BLOCK;

    // This thread reads number `depth` of each step, for 2 pixels and 2 filters.
    int depth = threadIdx.x % DEPTH, line = threadIdx.x / DEPTH;
    const real* image[2];
    int top[2], left[2];
    #pragma unroll
    for (int r = 0; r < 2; r++) {
        long long p = start + line + r * 32;
        left[r] = p % OW * SW - PW;
        top[r] = p / OW % OH * SH - PH;
        image[r] = x + p / OW / OH * H * W * G * C + g * C;
    }

    int a = threadIdx.x / ACROSS, b = threadIdx.x % ACROSS;
    real totals[SIDE][SIDE] = {};
    for (int step = 0; step < K; step += DEPTH) {
        int k = step + depth, c = k % C, v = k / C % KW, u = k / C / KW;
        #pragma unroll
        for (int r = 0; r < 2; r++) {
            int row = line + r * 32, h = top[r] + u * DH, q = left[r] + v * DW;
            bool inside = start + row < pixels && k < K && h >= 0 && h < H && q >= 0 && q < W;
            windows[depth][row] = inside ? image[r][((long long)h * W + q) * G * C + c] : (real)0;
            bool there = first + row < O && k < K;
            filters[depth][row] = there ? w[(long long)(g * O + first + row) * K + k] : (real)0;
        }
        __syncthreads();
        #pragma unroll
        for (int t = 0; t < DEPTH; t++) {
            real pixel[SIDE], filter[SIDE];
            #pragma unroll
            for (int s = 0; s < SIDE; s++) {
                pixel[s] = windows[t][a + s * ACROSS];
                filter[s] = filters[t][b + s * ACROSS];
            }
            #pragma unroll
            for (int r = 0; r < SIDE; r++)
                #pragma unroll
                for (int s = 0; s < SIDE; s++)
                    totals[r][s] += pixel[r] * filter[s];
        }
        __syncthreads();
    }
    #pragma unroll
    for (int r = 0; r < SIDE; r++)
        #pragma unroll
        for (int s = 0; s < SIDE; s++) {
            long long p = start + a + r * ACROSS;
            int o = first + b + s * ACROSS;
            if (p >= pixels || o >= O) continue;
            long long at = (p * G + g) * O + o;
            real total = bias ? totals[r][s] + bias[g * O + o] : totals[r][s];
            y[at] = finished(total, add, at, activation);
        }
}
