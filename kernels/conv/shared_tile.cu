// Convolution forward, rung 3: a block works on a tile of results, and shares what it reads.
//
// y is a matrix with a row per output pixel and a column per filter: the product of im2col's
// matrix, (N*OH*OW, K) with K = KH*KW*C, and the filters, (K, O). This is the tiled matrix product
// of matmul/tiled.cu, but im2col's matrix is never stored: whoever needs its number (p, k) finds
// where in x it stands.
//
// Threads: a block of TILE x TILE threads makes TILE pixels x TILE filters, one number each.
// Reads and writes: K steps of TILE; in each a thread reads one number of x and one weight from
//   global memory into shared memory, and 2 TILE numbers from shared memory. It writes one number.
// Why: in rung 2 every number of a window is read by as many threads as there are filters, every
//   weight by as many as there are pixels. A tile brings that down TILE times.
// Grid: x counts tiles, filters first: blocks that run together share pixels; y is the group.
#include "epilogue.cuh"

#ifndef TILE
#define TILE 16
#endif

extern "C" __global__ void __launch_bounds__(TILE * TILE)
shared_tile_forward(const real* x, const real* w, const real* bias, const real* add, real* y,
                    long long pixels, int G, int C, int O, int H, int W, int OH, int OW,
                    int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW, int activation)
{
    __shared__ real windows[TILE][TILE + 1];  // pixel, k; one more column: other banks
    __shared__ real filters[TILE][TILE + 1];  // filter, k

    int column = threadIdx.x, row = threadIdx.y, g = blockIdx.y;
    int tiles = (O + TILE - 1) / TILE, K = KH * KW * C;
    int first = blockIdx.x % tiles * TILE;                  // the tile's first filter,
    long long p = blockIdx.x / tiles * (long long)TILE + row;  // and this thread's pixel
    int j = p % OW, i = p / OW % OH;
    const real* image = x + p / OW / OH * H * W * G * C + g * C;
    const real* filter = w + (long long)(g * O + first + row) * K;  // that this thread reads

    real total = 0;
    for (int start = 0; start < K; start += TILE) {
        int k = start + column;
        int c = k % C, v = k / C % KW, u = k / C / KW;
        int h = i * SH + u * DH - PH, b = j * SW + v * DW - PW;
        bool inside = p < pixels && k < K && h >= 0 && h < H && b >= 0 && b < W;
        windows[row][column] = inside ? image[((long long)h * W + b) * G * C + c] : (real)0;
        filters[row][column] = first + row < O && k < K ? filter[k] : (real)0;
        __syncthreads();  // the tiles are whole
        for (int t = 0; t < TILE; t++)
            total += windows[row][t] * filters[column][t];
        __syncthreads();  // nobody reads them any more: they may be overwritten
    }
    if (p < pixels && first + column < O) {
        int o = g * O + first + column;
        long long at = p * G * O + o;
        y[at] = finished(bias ? total + bias[o] : total, add, at, activation);
    }
}
