// Depthwise convolution of x (N, H, W, C): M filters for each channel, o = c*M + m, in w (KH, KW,
// C*M): the weights of neighbouring filters lie together, as the channels of a pixel do.
//
// forward: y = activation(z + add), where
//   z[n,i,j,o] = b[o] + sum over (u,v) of x[n, i*SH+u*DH-PH, j*SW+v*DW-PW, c] w[u,v,o]
//   and b and add may be null.
//   Threads: one per LANES outputs of PIXELS neighbours in a row; neighbours differ in o, so they
//   read neighbouring channels. KH*KW products are too few to pay for shared memory: for an output
//   KH*KW numbers of x are read, KH*KW / PIXELS weights, and one is written. On a GPU PIXELS is 1.
// input gradient: dx[n,h,w,c] = sum of dy[n,i,j,o] w[u,v,o] over the windows that saw (h,w).
//   Threads: one per LANES inputs, gathering: no atomics, the same bits each run.
// weight gradient: dw[u,v,o] = sum over (n,i,j) of x[..] dy[n,i,j,o], in two passes, each in a fixed
//   order. parts: a thread per part of the rows (n,i), CELLS neighbours in a row of the kernel and
//   LANES weights of each: a number of dy is read once for them. Neighbours differ in o, so they read
//   neighbouring numbers. join: a thread per weight adds up the parts.
// LANES is 1 unless M is 1.
#define WIDEST REGISTER
#include "epilogue.cuh"

#define CELLS 3
#ifndef PIXELS
#define PIXELS 1
#endif

// a / b, where b divides a and the quotient is in 0 ... size - 1; else -1.
__device__ __forceinline__ int place_in(int a, int b, int size)
{
    if (a < 0 || (b > 1 && a % b)) return -1;  // b is 1 nearly always, and to divide takes long
    int quotient = b > 1 ? a / b : a;
    return quotient < size ? quotient : -1;
}

extern "C" __global__ void __launch_bounds__(256)
depthwise_forward(const real* x, const real* w, const real* b, const real* add, real* y,
                  long long elements, int M, int C, int H, int W, int OH, int OW, int KH, int KW,
                  int SH, int SW, int PH, int PW, int DH, int DW, int activation)
{
    if (thread_index() * LANES >= elements) return;
    Place out = place_of(thread_index(), OH, (OW + PIXELS - 1) / PIXELS, C * M / LANES);
    int o = out.c * LANES, j = out.w * PIXELS;

    Lanes totals[PIXELS];
    #pragma unroll
    for (int p = 0; p < PIXELS; p++) totals[p] = b ? load_lanes(b + o) : Lanes(0);
    for (int u = 0; u < KH; u++) {
        int h = out.h * SH + u * DH - PH;
        if (h < 0 || h >= H) continue;
        const real* row = x + (out.n * H + h) * W * C + (LANES > 1 ? o : o / M);
        const real* weights = w + u * KW * C * M + o;
        for (int v = 0; v < KW; v++) {
            int k = j * SW + v * DW - PW;  // of the first pixel
            bool all_inside = k >= 0 && k + (PIXELS - 1) * SW < W;
            Lanes weight = load_lanes(weights + v * C * M);
            const real* from = row + (long long)k * C;
            #pragma unroll
            for (int p = 0; p < PIXELS; p++, k += SW, from += SW * C)
                if (all_inside || (k >= 0 && k < W)) totals[p] += load_lanes(from) * weight;
        }
    }
    long long place = ((out.n * OH + out.h) * OW + j) * C * M + o;
    #pragma unroll
    for (int p = 0; p < PIXELS; p++, place += C * M)
        if (j + p < OW) store_lanes(y + place, finished(totals[p], add, place, activation));
}

extern "C" __global__ void __launch_bounds__(256)
depthwise_input_gradient(const real* dy, const real* w, real* dx, long long elements, int M,
                         int C, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW,
                         int PH, int PW, int DH, int DW)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    Place in = place_of(index / LANES, H, W, C / LANES);
    int first = in.c * LANES * M;  // of the filters of these channels

    Lanes total = 0;
    for (int u = 0; u < KH; u++) {
        int i = place_in(in.h + PH - u * DH, SH, OH);
        if (i < 0) continue;
        const real* row = dy + (in.n * OH + i) * OW * C * M;
        for (int v = 0; v < KW; v++) {
            int j = place_in(in.w + PW - v * DW, SW, OW);
            if (j < 0) continue;
            for (int o = first; o < first + M; o++)
                total += load_lanes(row + (long long)j * C * M + o)
                       * load_lanes(w + (u * KW + v) * C * M + o);
        }
    }
    store_lanes(dx + index, total);
}

// parts (P, KH, KW, C*M); part p has the rows [p*R/P, (p+1)*R/P) of the R = N*OH.
extern "C" __global__ void __launch_bounds__(256)
depthwise_weight_gradient_parts(const real* x, const real* dy, real* parts, long long elements,
                                long long R, int P, int M, int C, int H, int W, int OH, int OW,
                                int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    Place at = place_of(index / LANES, KH, (KW + CELLS - 1) / CELLS, C * M / LANES);
    int u = at.h, v = at.w * CELLS, o = at.c * LANES;

    Lanes total[CELLS];
    #pragma unroll
    for (int k = 0; k < CELLS; k++)
        total[k] = 0;
    for (long long r = at.n * R / P; r < (at.n + 1) * R / P; r++) {
        int h = (int)(r % OH) * SH + u * DH - PH;
        if (h < 0 || h >= H) continue;
        const real* row = x + (r / OH * H + h) * W * C + (LANES > 1 ? o : o / M);
        const real* gradients = dy + r * OW * C * M + o;
        int w = v * DW - PW, reach = (CELLS - 1) * DW;  // of the first cell; of all
        for (int j = 0; j < OW;) {  // where all cells are inside the image, and where some are not
            for (; j < OW && w >= 0 && w + reach < W; j++, w += SW) {
                Lanes dz = load_lanes(gradients + (long long)j * C * M);
                #pragma unroll
                for (int k = 0; k < CELLS; k++)
                    total[k] += load_lanes(row + (long long)(w + k * DW) * C) * dz;
            }
            for (; j < OW && (w < 0 || w + reach >= W); j++, w += SW) {
                Lanes dz = load_lanes(gradients + (long long)j * C * M);
                #pragma unroll
                for (int k = 0; k < CELLS; k++)
                    if (w + k * DW >= 0 && w + k * DW < W)
                        total[k] += load_lanes(row + (long long)(w + k * DW) * C) * dz;
            }
        }
    }
    real* part = parts + ((at.n * KH + u) * KW + v) * C * M + o;
    #pragma unroll
    for (int k = 0; k < CELLS; k++)
        if (v + k < KW) store_lanes(part + k * C * M, total[k]);
}

extern "C" __global__ void __launch_bounds__(256)
depthwise_weight_gradient_join(const real* parts, real* dw, long long weights, int P)
{
    long long index = thread_index() * LANES;
    if (index >= weights) return;
    Lanes total = 0;
    for (int p = 0; p < P; p++)
        total += load_lanes(parts + p * weights + index);
    store_lanes(dw + index, total);
}
