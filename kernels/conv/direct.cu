// Convolution forward: a thread makes PIXELS neighbours of a row, of LANES filters.
//
// The sums are those of naive.cu. The weights lie with the filters side by side, as in coalesced.cu,
//   and each group's are filled up with filters of zeros to F, a multiple of LANES. `columns` is
//   (G, KH, KW, C, F); or, where LANES is not 1, (G, F / LANES, KH, KW, C, LANES).
// Threads: neighbours differ in the filter, as numbers lie in memory; or, if FILTERS_OUTSIDE, in the
//   pixels, so that a CPU's core has used some filters for all of them before it fetches others.
// Reads and writes: a weight, and a number of each of the thread's pixels, the same for all threads
//   of a warp, for PIXELS products. `zeros`, C of them, lie outside of the image.
// Why: a thread of coalesced.cu reads two numbers for a product, and its sum waits for each. Here it
//   is little more than one number, and PIXELS sums do not wait for each other. On a CPU, where
//   LANES filters are a few registers, that is the inner loop of a matrix product, without a matrix
//   that has to be copied first.
#define WIDEST REGISTER
#include "epilogue.cuh"

#ifndef PIXELS
#define PIXELS 4
#endif
#ifndef FILTERS_OUTSIDE
#define FILTERS_OUTSIDE 0
#endif

// totals[p] += the sum over `count` numbers of pixels[p][c] times the weights of c.
__device__ __forceinline__ void add_products(Lanes (&totals)[PIXELS],
                                             const real* const (&pixels)[PIXELS],
                                             const real* weights, int count, int step)
{
    for (int c = 0; c < count; c++, weights += step) {
        Lanes filters = load_lanes(weights);
        #pragma unroll
        for (int p = 0; p < PIXELS; p++)
            totals[p] += pixels[p][c] * filters;
    }
}

extern "C" __global__ void __launch_bounds__(256)
direct_forward(const real* x, const real* columns, const real* zeros, const real* bias,
               const real* add, real* y, long long threads, int F, int G, int C, int O,
               int H, int W, int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW,
               int DH, int DW, int activation)
{
    long long index = thread_index();
    if (index >= threads) return;
    int blocks = G * F / LANES, inner = FILTERS_OUTSIDE ? 1 : blocks;
    long long once = threads / blocks * inner;
    Place at = place_of(index % once, OH, (OW + PIXELS - 1) / PIXELS, inner);
    int filter = (int)(index / once + at.c) * LANES, g = filter / F, f = filter % F;
    int j = at.w * PIXELS, K = KH * KW * C, step = LANES == 1 ? F : LANES;
    long long pitch = (long long)G * C;
    const real* weights = columns + (long long)g * K * F + (LANES == 1 ? f : (long long)f * K);

    // Where no window leaves the image at its sides, a row of it is one run of numbers.
    int left = j * SW - PW, right = min(j + PIXELS - 1, OW - 1) * SW - PW + KW;
    bool in_runs = G == 1 && DW == 1 && left >= 0 && right <= W;

    // The cells of each window that are in the image, by rows.
    int top = at.h * SH - PH, begin = top < 0 ? (DH - 1 - top) / DH : 0;
    int end = top < H ? min(KH, (H - 1 - top) / DH + 1) : 0;
    const real* row = x + (at.n * H + top + begin * DH) * W * pitch + g * C;
    weights += (long long)begin * KW * C * step;

    Lanes totals[PIXELS];
    const real* pixels[PIXELS];
    #pragma unroll
    for (int p = 0; p < PIXELS; p++) {
        totals[p] = 0;
        pixels[p] = row + (min(j + p, OW - 1) * SW - PW) * pitch;
    }
    for (int u = begin; u < end; u++, row += DH * W * pitch) {
        if (in_runs) {
            add_products(totals, pixels, weights, KW * C, step);
            weights += (long long)KW * C * step;
            #pragma unroll
            for (int p = 0; p < PIXELS; p++) pixels[p] += DH * W * pitch;
            continue;
        }
        for (int v = 0; v < KW; v++, weights += (long long)C * step) {
            #pragma unroll
            for (int p = 0; p < PIXELS; p++) {
                int k = min(j + p, OW - 1) * SW + v * DW - PW;
                pixels[p] = k >= 0 && k < W ? row + k * pitch : zeros;
            }
            add_products(totals, pixels, weights, C, step);
        }
    }
    long long first = ((at.n * OH + at.h) * OW + j) * G * O + g * O + f;
    int there = min(LANES, O - f);
    Lanes b = bias ? load_some(bias + g * O + f, there) : Lanes(0);
    #pragma unroll
    for (int p = 0; p < PIXELS; p++) {
        if (j + p >= OW) continue;
        long long place = first + (long long)p * G * O;
        Lanes z = totals[p] + b;
        if (add) z += load_some(add + place, there);
        store_some(y + place, activate(z, activation), there);
    }
}
