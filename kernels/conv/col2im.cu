// The adjoint of im2col: dx[n,h,w,c] = sum of col[(n,i,j), (u,v,c)] over the windows (i,j) that saw
// pixel (h,w), at their cell (u,v), which is where i*SH + u*DH = h + PH and j*SW + v*DW = w + PW.
//
// Threads: one per pixel and LANES channels of dx, gathering. A thread per element of col that
//   scattered would need atomic additions, whose order, and so whose rounding, changes from run to
//   run.
// Reads and writes: about KH*KW / (SH*SW) numbers read, one written. Neighbours differ in
//   c, so they read neighbouring numbers.
#include "lanes.cuh"

extern "C" __global__ void __launch_bounds__(256)
col2im(const real* col, real* dx, long long elements, int C, int H, int W, int OH, int OW,
       int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    long long index = thread_index() * LANES;
    if (index >= elements) return;
    Place at = place_of(index / LANES, H, W, C / LANES);

    Lanes total = 0;
    for (int u = 0; u < KH; u++) {
        int top = at.h + PH - u * DH;  // i * SH, if cell (u, .) of some window lies on row h
        if (top < 0 || top % SH || top / SH >= OH) continue;
        for (int v = 0; v < KW; v++) {
            int left = at.w + PW - v * DW;
            if (left < 0 || left % SW || left / SW >= OW) continue;
            long long row = (at.n * OH + top / SH) * OW + left / SW;
            total += load_lanes(col + ((row * KH + u) * KW + v) * C + at.c * LANES);
        }
    }
    store_lanes(dx + index, total);
}
