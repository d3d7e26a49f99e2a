// A convolution's input gradient as convolutions of stride 1.
//
// Pixel (h,k) was seen by window (i,j) through cell (u,v) if i*SH + u*DH = h + PH, and
// j*SW + v*DW = k + PW. With stride 1 that is a convolution of dy with turned filters. With a
// stride only some cells fit a pixel, the same for all pixels whose h + PH and k + PW leave the
// same remainders. So the pixels are split by remainder ("parity", for stride 2) into SH * SW
// classes. In each, rows h = h0 + a*SH and cells u = u0 + t*us give
//     i = (h0 + PH - u0*DH)/SH + a - t * us*DH/SH:
// again a convolution of stride 1, with some of the cells.
#pragma once
#include "common.cuh"

// One class along one axis: cells u0 + t*us for t < cells, results h0 + a*S for a < size, read at
// base + a - t*fall.
struct Remainder {
    int u0, us, cells, h0, size, base, fall;
};

__device__ __forceinline__ Remainder remainder_class(int r, int K, int S, int P, int D, int H)
{
    int common = S, other = D % S;
    while (other) { int rest = common % other; common = other; other = rest; }  // Euclid, 300 BC
    Remainder a;
    a.us = S / common;
    a.u0 = 0;
    while (a.u0 < a.us && a.u0 * D % S != r) a.u0++;
    bool fits = a.u0 < a.us && a.u0 < K;
    a.cells = fits ? (K - 1 - a.u0) / a.us + 1 : 0;
    a.h0 = ((r - P) % S + S) % S;
    a.size = a.h0 < H ? (H - 1 - a.h0) / S + 1 : 0;
    a.base = fits ? (a.h0 + P - a.u0 * D) / S : 0;  // divides: both sides leave the remainder r
    a.fall = D / common;
    return a;
}
