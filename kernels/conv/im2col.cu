// One row per output pixel holding the window it looks at: from x (N, H, W, C) the matrix
// col (N*OH*OW, KH*KW*C).
//
// col[(n,i,j), (u,v,c)] = x[n, i*SH + u*DH - PH, j*SW + v*DW - PW, c], or 0 outside the image.
//
// Threads: one per element of col; neighbours differ in c, then in v.
// Reads and writes: one number each. Neighbouring threads read and write neighbouring numbers as
//   long as c runs, because the channels of a pixel lie side by side (channels-last).
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
im2col(const real* x, real* col, long long elements, int C, int H, int W, int OH, int OW,
       int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    long long index = thread_index();
    if (index >= elements) return;

    long long rest = index;
    int c = rest % C;   rest /= C;
    int v = rest % KW;  rest /= KW;
    int u = rest % KH;  rest /= KH;
    int j = rest % OW;  rest /= OW;
    int i = rest % OH;
    long long n = rest / OH;

    int h = i * SH + u * DH - PH;
    int w = j * SW + v * DW - PW;
    bool inside = h >= 0 && h < H && w >= 0 && w < W;
    col[index] = inside ? x[((n * H + h) * W + w) * C + c] : (real)0;
}
