// Convolution, weight gradient: a thread adds up NUMBERS neighbours of a window's row, for LANES
// filters, over a part of the rows of the output.
//
// dw of a part, partial[part][g,o][u,v,c], is the sum over its rows (n,i) and all j of
//   x[n, i*SH + u*DH - PH, j*SW + v*DW - PW, g,c] dz[n,i,j,g,o]. Parts are added up afterwards, always
//   in the same order.
// Threads: neighbours differ in the filter, as numbers lie in memory; then in the numbers of the
//   window's row; those of a part come together, so that caches have its rows.
// Reads and writes: for a pixel of the output LANES numbers of dz, and NUMBERS of x, which are the
//   same for all threads of a warp. A window's row is one run of numbers, unless cells are apart
//   (dilation) or other groups' channels lie between them: then a cell is.
// Why: a thread of coalesced.cu reads two numbers for a product, and there are too few of them to
//   fill a GPU. Here a number of dz is read once for NUMBERS products, and there are as many threads
//   as there are parts. On a CPU, where NUMBERS times LANES sums fill its registers, no window is
//   copied, and no product of thin matrices is asked for.
#define WIDEST REGISTER
#include "lanes.cuh"

#ifndef NUMBERS
#define NUMBERS 4
#endif

extern "C" __global__ void __launch_bounds__(256)
direct_weight_gradient(const real* x, const real* dz, real* partial, long long threads,
                       long long rows, long long rows_of_part, int G, int C, int O, int H, int W,
                       int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH,
                       int DW)
{
    long long index = thread_index();
    if (index >= threads) return;
    bool whole = DW == 1 && G == 1;
    int run = whole ? KW * C : C, runs = whole ? 1 : KW;
    int across = (O + LANES - 1) / LANES, blocks = (run + NUMBERS - 1) / NUMBERS;
    int f = index % across * LANES, there = min(LANES, O - f);  // filters of this thread
    index /= across;
    int g = index % G;
    index /= G;
    int q = index % blocks * NUMBERS, left = min(NUMBERS, run - q);  // numbers of a run
    index /= blocks;
    int v = index % runs, u = index / runs % KH;
    long long part = index / runs / KH, pitch = (long long)G * C;
    bool full = there == LANES && (whole || left == NUMBERS);

    Lanes sums[NUMBERS];
    #pragma unroll
    for (int k = 0; k < NUMBERS; k++) sums[k] = 0;
    long long row = part * rows_of_part, last = min(row + rows_of_part, rows), n = row / OH;
    for (int i = (int)(row % OH); row < last; row++, i++) {
        if (i == OH) i = 0, n++;
        int h = i * SH + u * DH - PH;
        if (h < 0 || h >= H) continue;
        const real* line = x + (n * H + h) * W * pitch + g * C;
        const real* slopes = dz + row * OW * G * O + g * O + f;
        long long at = (v * DW - PW) * pitch + q;  // where this run begins
        for (int j = 0; j < OW;) {
            // Where all numbers lie inside (those beyond the window's row are not written), and
            // where some do not.
            for (; j < OW && full && at >= 0 && at + NUMBERS <= W * pitch; j++) {
                Lanes slope = load_lanes(slopes);
                #pragma unroll
                for (int k = 0; k < NUMBERS; k++) sums[k] += line[at + k] * slope;
                at += SW * pitch, slopes += G * O;
            }
            for (; j < OW && !(full && at >= 0 && at + NUMBERS <= W * pitch); j++) {
                Lanes slope = load_some(slopes, there);
                #pragma unroll
                for (int k = 0; k < NUMBERS; k++)
                    if (k < left && at + k >= 0 && at + k < W * pitch)
                        sums[k] += line[at + k] * slope;
                at += SW * pitch, slopes += G * O;
            }
        }
    }
    real results[NUMBERS][LANES];  // a filter's numbers lie side by side in dw, not the filters
    #pragma unroll
    for (int k = 0; k < NUMBERS; k++) store_lanes(results[k], sums[k]);
    for (int lane = 0; lane < LANES && lane < there; lane++) {
        real* to = partial + (((part * G * O + g * O + f + lane) * KH + u) * KW + v) * C + q;
        #pragma unroll
        for (int k = 0; k < NUMBERS; k++)
            if (k < left) to[k] = results[k][lane];
    }
}
