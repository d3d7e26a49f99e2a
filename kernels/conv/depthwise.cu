// Depthwise convolution of x (N, H, W, C): M filters for each channel, o = c*M + m, in w (KH, KW,
// C*M): the weights of neighbouring filters lie together, as the channels of a pixel do.
//
// forward: y = activation(z + add), where
//   z[n,i,j,o] = b[o] + sum over (u,v) of x[n, i*SH+u*DH-PH, j*SW+v*DW-PW, c] w[u,v,o]
//   and b and add may be null.
//   Threads: one per LANES outputs; neighbours differ in o, so they read neighbouring channels.
//   KH*KW products are too few to pay for shared memory: at most 2 KH*KW + 2 numbers read, one
//   written.
// input gradient: dx[n,h,w,c] = sum of dy[n,i,j,o] w[u,v,o] over the windows that saw (h,w).
//   Threads: one per LANES inputs, gathering: no atomics, the same bits each run.
// weight gradient: dw[u,v,o] = sum over (n,i,j) of x[..] dy[n,i,j,o], in two passes, each in a fixed
//   order. parts: a thread per part of the rows (n,i) and LANES weights; neighbours differ in o, so
//   they read neighbouring numbers, and those of another cell find them in the cache. join: a thread
//   per weight adds up the parts.
// LANES is 1 unless M is 1.
#include "epilogue.cuh"

extern "C" __global__ void __launch_bounds__(256)
depthwise_forward(const real* x, const real* w, const real* b, const real* add, real* y,
                  long long elements, int M, int C, int H, int W, int OH, int OW, int KH, int KW,
                  int SH, int SW, int PH, int PW, int DH, int DW, int activation)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    Place out = place_of(index / LANES, OH, OW, C * M / LANES);
    int o = out.c * LANES;

    Lanes total = b ? load_lanes(b + o) : Lanes(0);
    for (int u = 0; u < KH; u++) {
        int h = out.h * SH + u * DH - PH;
        if (h < 0 || h >= H) continue;
        const real* row = x + (out.n * H + h) * W * C + o / M;
        const real* weights = w + u * KW * C * M + o;
        for (int v = 0; v < KW; v++) {
            int k = out.w * SW + v * DW - PW;
            if (k >= 0 && k < W)
                total += load_lanes(row + (long long)k * C) * load_lanes(weights + v * C * M);
        }
    }
    store_lanes(y + index, finished(total, add, index, activation));
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
        int top = in.h + PH - u * DH;
        if (top < 0 || top % SH || top / SH >= OH) continue;
        const real* row = dy + (in.n * OH + top / SH) * OW * C * M;
        for (int v = 0; v < KW; v++) {
            int left = in.w + PW - v * DW;
            if (left < 0 || left % SW || left / SW >= OW) continue;
            for (int o = first; o < first + M; o++)
                total += load_lanes(row + (long long)(left / SW) * C * M + o)
                       * load_lanes(w + (u * KW + v) * C * M + o);
        }
    }
    store_lanes(dx + index, total);
}

// parts (P, KH, KW, C*M); part p has the rows [p*R/P, (p+1)*R/P) of the R = N*OH.
extern "C" __global__ void __launch_bounds__(256)
depthwise_weight_gradient_parts(const real* x, const real* dy, real* parts, long long weights,
                                long long R, int P, int M, int C, int H, int W, int OH, int OW,
                                int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    long long index = thread_index() * LANES;  // of parts
    if (index >= P * weights) return;
    Place at = place_of(index / LANES, KH, KW, C * M / LANES);
    int u = at.h, v = at.w, o = at.c * LANES;

    // The windows whose cell (u,v) lies inside the image along w: j0 <= j < j1.
    int offset = v * DW - PW;
    int j0 = offset < 0 ? (-offset + SW - 1) / SW : 0;
    int j1 = W <= offset ? 0 : min(OW, (W - 1 - offset) / SW + 1);

    Lanes total = 0;
    for (long long r = at.n * R / P; r < (at.n + 1) * R / P; r++) {
        int h = (int)(r % OH) * SH + u * DH - PH;
        if (h < 0 || h >= H) continue;
        const real* row = x + ((r / OH * H + h) * W + offset) * C + o / M;
        const real* gradients = dy + r * OW * C * M + o;
        for (int j = j0; j < j1; j++)
            total += load_lanes(row + (long long)j * SW * C) * load_lanes(gradients + (long long)j * C * M);
    }
    store_lanes(parts + index, total);
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
