// Average pooling of x (N, H, W, C), forward and backward; padding counts as zeros.
//
// forward: y[n,i,j,c] = sum of window (i,j) / D[i,j].
//   Threads: one per LANES outputs. At most KH*KW numbers read, one written; neighbours differ in c.
// backward: dx[n,h,w,c] = sum of dy[n,i,j,c] / D[i,j] over the windows that saw (h,w).
//   Threads: one per LANES inputs, gathering: no atomics, the same bits each run. At most
//   ceil(KH/SH)*ceil(KW/SW) gradients read, one number written.
//
// D[i,j] is `divisor`, unless that is 0: then the number of the window's cells inside the image and
// a border of BH rows and BW columns around it, which is the padding if that is counted, else 0.
#include "lanes.cuh"

// How many of K cells, the first at `start`, lie in an axis of size `size` with `border` around it.
static __device__ int cells(int start, int K, int size, int border)
{
    return min(start + K, size + border) - max(start, -border);
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_forward(const real* x, real* y, long long elements, int C, int H, int W, int OH, int OW,
                 int KH, int KW, int SH, int SW, int PH, int PW, int BH, int BW, int divisor)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    Place out = place_of(index / LANES, OH, OW, C / LANES);

    int top = out.h * SH - PH, left = out.w * SW - PW;
    Lanes total = 0;
    for (int h = max(top, 0); h < min(top + KH, H); h++)
        for (int w = max(left, 0); w < min(left + KW, W); w++)
            total += load_lanes(x + ((out.n * H + h) * W + w) * C + out.c * LANES);
    int count = divisor ? divisor : cells(top, KH, H, BH) * cells(left, KW, W, BW);
    store_lanes(y + index, total / count);
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_backward(const real* dy, real* dx, long long elements, int C, int H, int W, int OH, int OW,
                  int KH, int KW, int SH, int SW, int PH, int PW, int BH, int BW, int divisor)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    Place in = place_of(index / LANES, H, W, C / LANES);

    Lanes total = 0;
    for (int u = 0; u < KH; u++) {
        int top = in.h - u;  // of the window that sees this pixel as its cell u
        int i = (top + PH) / SH;
        if (top + PH < 0 || (top + PH) % SH || i >= OH) continue;
        for (int v = 0; v < KW; v++) {
            int left = in.w - v;
            int j = (left + PW) / SW;
            if (left + PW < 0 || (left + PW) % SW || j >= OW) continue;
            int count = divisor ? divisor : cells(top, KH, H, BH) * cells(left, KW, W, BW);
            total += load_lanes(dy + ((in.n * OH + i) * OW + j) * C + in.c * LANES) / count;
        }
    }
    store_lanes(dx + index, total);
}
