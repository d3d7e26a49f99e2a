// Max pooling of x (N, H, W, C), forward and backward.
//
// forward: y[n,i,j,c] = the largest x of window (i,j); winner = h*W + w, the first pixel it is at,
//   which is left out if winner is null.
//   Threads: one per LANES outputs. KH*KW numbers read, two written; neighbours differ in c.
//   Only pixels of the image are read: padding, and what lies behind it, never wins. A NaN does.
// backward: dx[n,h,w,c] = sum of dy[n,i,j,c] over the windows whose winner is (h,w).
//   Threads: one per LANES inputs, gathering from the windows that saw them: no atomics, the same
//   bits each run. At most ceil(KH/SH)*ceil(KW/SW) winners and gradients read, one number written.
#include "lanes.cuh"

extern "C" __global__ void __launch_bounds__(256)
max_pool_forward(const real* x, real* y, int* winner, long long elements, int C, int H, int W,
                 int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    Place out = place_of(index / LANES, OH, OW, C / LANES);

    bool first = true;
    Lanes best = 0;
    IntLanes place = -1;
    for (int u = 0; u < KH; u++) {
        int h = out.h * SH + u * DH - PH;
        if (h < 0 || h >= H) continue;
        for (int v = 0; v < KW; v++) {
            int w = out.w * SW + v * DW - PW;
            if (w < 0 || w >= W) continue;
            Lanes value = load_lanes(x + ((out.n * H + h) * W + w) * C + out.c * LANES);
            Mask stays = (value <= best) | (best != best);
            if (winner) place = first ? IntLanes(h * W + w) : select(stays, place, h * W + w);
            best = first ? value : select(stays, best, value);
            first = false;
        }
    }
    store_lanes(y + index, best);
    if (winner) store_lanes(winner + index, place);
}

extern "C" __global__ void __launch_bounds__(256)
max_pool_backward(const real* dy, const int* winner, real* dx, long long elements, int C, int H,
                  int W, int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH,
                  int DW)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    Place in = place_of(index / LANES, H, W, C / LANES);

    Lanes total = 0;
    for (int u = 0; u < KH; u++) {
        int top = in.h + PH - u * DH;
        if (top < 0 || top % SH || top / SH >= OH) continue;
        for (int v = 0; v < KW; v++) {
            int left = in.w + PW - v * DW;
            if (left < 0 || left % SW || left / SW >= OW) continue;
            long long output = ((in.n * OH + top / SH) * OW + left / SW) * C + in.c * LANES;
            Mask won = load_lanes(winner + output) == in.h * W + in.w;
            total += select(won, load_lanes(dy + output), Lanes(0));
        }
    }
    store_lanes(dx + index, total);
}
