// The input gradient of a convolution from the rows of im2col, gathered: dx (H, W) from
// col (OH*OW, K*K). The bug: the rows of windows are taken to be W long, not OW.
#include "common.cuh"

#ifdef FIXED
#define ROW_LENGTH OW
#else
#define ROW_LENGTH W
#endif

extern "C" __global__ void col2im(const float* col, float* dx, int H, int W, int OH, int OW, int K)
{
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= H * W) return;
    int h = index / W, w = index % W;
    float total = 0;
    for (int u = 0; u < K; u++)
        for (int v = 0; v < K; v++) {
            int i = h - u, j = w - v;
            if (i < 0 || i >= OH || j < 0 || j >= OW) continue;
            total += col[((i * ROW_LENGTH + j) * K + u) * K + v];  // BUG
        }
    dx[index] = total;
}
