// How an implicit GEMM finds its numbers: a convolution is a product of matrices nobody stores.
//
//     forward           y  (pixels, O)  = windows of x (pixels, K)    times  filters (K, O)
//     input gradient    dx (pixels, C)  = windows of dy (pixels, K')  times  filters (K', C)
//     weight gradient   dw' (K, O)      = windows of x' (K, pixels)   times  dy (pixels, O)
//
// K counts a window's numbers (u,v,c), the channel fastest, K' those of (u,v,o).
//
// A block goes through such a matrix in panels of `step` numbers along the sum, k. A walker is one
// thread's share of the panel: `count` chunks of `vector` (1 or 4) numbers that lie side by side in
// memory. It knows where each starts (source) and whether it is part of the matrix (inside);
// advance(left) takes it one panel further, where the sum has `left` numbers left. Divisions are
// for the start: a step adds and compares. A source outside of its array is kept up to date, too,
// and not read. Rows of the tile that lie beyond the matrix walk along with its first one: their
// sums are nobody's, and not written. A chunk of 4 never leaves a pixel if the channels are a
// multiple of 4: the launcher sees to that.
//
// Every register counts: 64 sums, 16 numbers to multiply and 8 on their way leave 40 of 128.
#pragma once
#include "common.cuh"

// Windows on an image: window (i,j) has cell (u,v) on pixel (i*SH + u*DH - PH, j*SW + v*DW - PW).
struct Windows {
    int C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW;
    long long pitch;  // from a pixel to the next: the channels of all groups
};

struct Pixel {
    long long n;
    int i, j;
};

__device__ __forceinline__ Pixel pixel_at(long long p, int H, int W)
{
    long long row = p / W;
    return {row / H, (int)(row % H), (int)(p % W)};
}

// The pixel `steps` further on; 32-bit divisions are several times cheaper than 64-bit ones.
__device__ __forceinline__ Pixel pixel_after(Pixel p, int steps, int H, int W)
{
    int j = p.j + steps, i = p.i + j / W;
    return {p.n + i / H, i % H, j % W};
}

// Where a block's tile begins. It lies in shared memory because it is needed before and after the
// loop: a register each that is free inside it.
struct Origin {
    long long row;
    int column;
};

// Tile number `tile`, counted along the columns first, of a matrix with `columns` columns.
template <int height, int width>
__device__ __forceinline__ void set_origin(Origin& origin, unsigned int tile, int columns)
{
    if (threadIdx.x == 0) {
        unsigned int across = (columns + width - 1) / width;
        origin = {tile / across * (long long)height, (int)(tile % across * width)};
    }
    __syncthreads();
}

// ---- which chunks a thread takes ----------------------------------------------------------------

// Chunks lie along the sum: neighbours in memory are neighbours in k.
template <int rows, int step, int threads, int vector_>
struct AlongK {
    static constexpr bool along_k = true;
    static constexpr int vector = vector_, across = step / vector, rise = threads / across;
    static constexpr int count = rows / rise;
    static_assert(count * rise == rows && rise * across == threads, "equal shares for all threads");
    const float* source[count];
    bool inside[count];

    static __device__ __forceinline__ int row(int i) { return threadIdx.x / across + i * rise; }
    static __device__ __forceinline__ int depth(int) { return threadIdx.x % across * vector; }
};

// Chunks lie along the panel's rows.
template <int rows, int step, int threads, int vector_>
struct AlongRows {
    static constexpr bool along_k = false;
    static constexpr int vector = vector_, across = rows / vector, rise = threads / across;
    static constexpr int count = step / rise;
    static_assert(count * rise == step && rise * across == threads, "equal shares for all threads");
    const float* source[count];
    bool inside[count];

    static __device__ __forceinline__ int row(int) { return threadIdx.x % across * vector; }
    static __device__ __forceinline__ int depth(int i) { return threadIdx.x / across + i * rise; }
};

// ---- windows of an image, a row of the panel for each -------------------------------------------

// A window is walked in runs, numbers that lie side by side in the image: a row of the window, or
// one of its cells where the cells are apart (dilation) or other groups' channels lie between them.
template <int rows, int step, int threads, int vector>
struct WindowRows : AlongK<rows, step, threads, vector> {
    using Share = AlongK<rows, step, threads, vector>;
    using Share::count; using Share::source; using Share::inside;
    Windows on;
    int run, runs;           // numbers of a run, and runs in a row of the window
    int h[count], q[count];  // where each window's present number lies: row, and w * C + c
    int v, c;                // the run, and the number in it

    // Windows `first`, first + 1, ... of those below `pixels`; of each the `left` numbers from k on.
    __device__ __forceinline__ WindowRows(const float* x, const Windows& windows, long long first,
                                          long long pixels, int k, int left)
        : on(windows), v(0), c(Share::depth(0) + k)
    {
        bool whole = on.DW == 1 && on.pitch == on.C;
        run = whole ? on.KW * on.C : on.C;
        runs = whole ? 1 : on.KW;
        Pixel start = pixel_at(first, on.OH, on.OW);
        #pragma unroll
        for (int i = 0; i < count; i++) {
            int row = first + Share::row(i) < pixels ? Share::row(i) : 0;
            Pixel p = pixel_after(start, row, on.OH, on.OW);
            int w = p.j * on.SW - on.PW;
            h[i] = p.i * on.SH - on.PH;
            q[i] = w * on.C + c;
            source[i] = x + ((p.n * on.H + h[i]) * on.W + w) * on.pitch + c;
        }
        while (c >= run) next_run();
        look(left);
    }

    __device__ __forceinline__ void next_run() {
        c -= run;
        bool wrap = ++v == runs;
        if (wrap) v = 0;
        #pragma unroll
        for (int i = 0; i < count; i++) {
            source[i] += on.DW * on.pitch - on.C;
            q[i] += on.DW * on.C - on.C;
            if (!wrap) continue;
            source[i] += (on.DH * on.W - on.KW * on.DW) * on.pitch;
            q[i] -= on.KW * on.DW * on.C;
            h[i] += on.DH;
        }
    }

    // (As unsigned numbers, those below 0 are larger than any size.)
    __device__ __forceinline__ void look(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++)
            inside[i] = Share::depth(i) < left && (unsigned int)h[i] < (unsigned int)on.H
                     && (unsigned int)q[i] < (unsigned int)(on.W * on.C);
    }

    __device__ __forceinline__ void advance(int left) {
        c += step;
        #pragma unroll
        for (int i = 0; i < count; i++) {
            source[i] += step;
            q[i] += step;
        }
        while (c >= run) next_run();
        look(left);
    }
};

// ---- a matrix in memory, its rows along k -------------------------------------------------------
template <int rows, int step, int threads, int vector>
struct MatrixRows : AlongK<rows, step, threads, vector> {
    using Share = AlongK<rows, step, threads, vector>;
    using Share::count; using Share::source; using Share::inside;
    // `matrix` points at the panel's first number, its rows are `pitch` apart; `there` are left.
    __device__ __forceinline__ MatrixRows(const float* matrix, long long pitch, int there,
                                          int left)
    {
        #pragma unroll
        for (int i = 0; i < count; i++) {
            int row = Share::row(i) < there ? Share::row(i) : 0;
            source[i] = matrix + row * pitch + Share::depth(i);
        }
        look(left);
    }

    __device__ __forceinline__ void look(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++) inside[i] = Share::depth(i) < left;
    }

    __device__ __forceinline__ void advance(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++) source[i] += step;
        look(left);
    }
};

// ---- a matrix in memory, its rows across k ------------------------------------------------------
template <int rows, int step, int threads, int vector>
struct MatrixColumns : AlongRows<rows, step, threads, vector> {
    using Share = AlongRows<rows, step, threads, vector>;
    using Share::count; using Share::source; using Share::inside;
    long long pitch;

    // `matrix` points at number (k, row) = (0, 0) of the panel; `there` rows are left.
    __device__ __forceinline__ MatrixColumns(const float* matrix, long long pitch, int there,
                                             int left)
        : pitch(pitch)
    {
        int row = Share::row(0) < there ? Share::row(0) : 0;
        #pragma unroll
        for (int i = 0; i < count; i++) source[i] = matrix + Share::depth(i) * pitch + row;
        look(left);
    }

    __device__ __forceinline__ void look(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++) inside[i] = Share::depth(i) < left;
    }

    __device__ __forceinline__ void advance(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++) source[i] += step * pitch;
        look(left);
    }
};

// ---- windows of an image, a row of the panel for each number of a window, k along the pixels ----
template <int rows, int step, int threads, int vector>
struct WindowColumns : AlongRows<rows, step, threads, vector> {
    using Share = AlongRows<rows, step, threads, vector>;
    using Share::count; using Share::source; using Share::inside;
    Windows on;
    int down, right;            // from a window's corner to the cell of this thread's number
    int i_[count], j_[count];   // the window

    // Numbers `number`, number + 1, ... of windows `first`, first + 1, ..., `left` in all.
    __device__ __forceinline__ WindowColumns(const float* x, const Windows& windows, int number,
                                             long long first, int left)
        : on(windows)
    {
        int q = number + Share::row(0), c = q % on.C;
        right = q / on.C % on.KW * on.DW - on.PW;
        down = q / on.C / on.KW * on.DH - on.PH;
        Pixel start = pixel_at(first, on.OH, on.OW);
        #pragma unroll
        for (int i = 0; i < count; i++) {
            Pixel p = pixel_after(start, Share::depth(i), on.OH, on.OW);
            i_[i] = p.i;
            j_[i] = p.j;
            int h = p.i * on.SH + down, w = p.j * on.SW + right;
            source[i] = x + ((p.n * on.H + h) * on.W + w) * on.pitch + c;
        }
        if (q >= on.KH * on.KW * on.C) down = -(1 << 30);  // no such cell: far outside
        look(left);
    }

    __device__ __forceinline__ void look(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++) {
            int h = i_[i] * on.SH + down, w = j_[i] * on.SW + right;
            inside[i] = Share::depth(i) < left && (unsigned int)h < (unsigned int)on.H
                     && (unsigned int)w < (unsigned int)on.W;
        }
    }

    __device__ __forceinline__ void advance(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++) {
            source[i] += step * on.SW * on.pitch;
            j_[i] += step;
            while (j_[i] >= on.OW) {
                source[i] += (on.SH * on.W - on.OW * on.SW) * on.pitch;
                j_[i] -= on.OW;
                if (++i_[i] == on.OH) {
                    source[i] += (on.H - on.OH * on.SH) * on.W * on.pitch;
                    i_[i] = 0;
                }
            }
        }
        look(left);
    }
};

// ---- filters, their input channels across k, which runs over (cell, filter) ---------------------

// Some cells of the filters: (u0 + t*us, v0 + s*vs) for t < rows and s < columns.
struct Cells {
    int u0, us, rows, v0, vs, columns;
};

template <int rows, int step, int threads, int vector>
struct FilterColumns : AlongRows<rows, step, threads, vector> {
    using Share = AlongRows<rows, step, threads, vector>;
    using Share::count; using Share::source; using Share::inside;
    Cells cells;
    int C, O, KW;
    long long pitch;            // from a filter to the next
    int s[count], o[count];

    // `w` points at the panel's first channel of O filters (O, KH, KW, C); `there` channels are
    // left, and `left` numbers of the sum from k on.
    __device__ __forceinline__ FilterColumns(const float* w, const Cells& cells, int C, int O,
                                             int KH, int KW, int there, int k, int left)
        : cells(cells), C(C), O(O), KW(KW), pitch((long long)KH * KW * C)
    {
        int row = Share::row(0) < there ? Share::row(0) : 0;
        #pragma unroll
        for (int i = 0; i < count; i++) {
            s[i] = 0;
            o[i] = Share::depth(i) + k;
            source[i] = w + o[i] * pitch + (cells.u0 * KW + cells.v0) * C + row;
            while (o[i] >= O) next_cell(i);
        }
        look(left);
    }

    __device__ __forceinline__ void next_cell(int i) {
        o[i] -= O;
        source[i] += cells.vs * C - O * pitch;
        if (++s[i] < cells.columns) return;
        s[i] = 0;
        source[i] += (cells.us * KW - cells.columns * cells.vs) * C;
    }

    __device__ __forceinline__ void look(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++) inside[i] = Share::depth(i) < left;
    }

    __device__ __forceinline__ void advance(int left) {
        #pragma unroll
        for (int i = 0; i < count; i++) {
            source[i] += step * pitch;
            o[i] += step;
            while (o[i] >= O) next_cell(i);
        }
        look(left);
    }
};
