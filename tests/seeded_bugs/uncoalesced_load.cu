// The largest channel of each pixel of an image. The bug: neighbouring threads take neighbouring
// pixels, but in memory a pixel's channels are neighbours (fixed: channels first).
#include "common.cuh"

#ifdef FIXED
#define AT(pixel, c) ((c) * pixels + (pixel))
#else
#define AT(pixel, c) ((pixel) * C + (c))
#endif

extern "C" __global__ void largest_channel(const float* x, float* y, int pixels, int C)
{
    int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= pixels) return;
    float best = -REAL_MAX;
    for (int c = 0; c < C; c++) {
        float value = x[AT(pixel, c)];  // BUG
        best = value > best ? value : best;
    }
    y[pixel] = best;
}
