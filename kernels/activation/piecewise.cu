// Activations of straight pieces, element by element: y = f(x), and dx = dy f'(x) from the saved x.
//
// Threads: one per element; neighbours read and write neighbouring numbers.
// Reads and writes: one number read forward, two backward; one written. A comparison with NaN is
//   false, so the pieces are chosen such that a NaN falls into one that hands it on.
#include "epilogue.cuh"

// y = x where x > 0, else s x; the slope at 0 is s.
extern "C" __global__ void __launch_bounds__(256)
leaky_relu_forward(const real* x, real* y, real negative_slope, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = x[i] > 0 ? x[i] : negative_slope * x[i];
}

extern "C" __global__ void __launch_bounds__(256)
leaky_relu_backward(const real* dy, const real* x, real* dx, real negative_slope,
                    long long elements)
{
    long long i = thread_index();
    if (i < elements) dx[i] = x[i] > 0 ? dy[i] : negative_slope * dy[i];
}

// y = min(max(x + 3, 0), 6) / 6; the slope is 1/6 where -3 < x < 3.
extern "C" __global__ void __launch_bounds__(256)
hardsigmoid_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = clip6(x[i] + 3) / 6;
}

extern "C" __global__ void __launch_bounds__(256)
hardsigmoid_backward(const real* dy, const real* x, real* dx, long long elements)
{
    long long i = thread_index();
    if (i < elements) dx[i] = x[i] > -3 && x[i] < 3 ? dy[i] / 6 : (real)0;
}

// y = x hardsigmoid(x); the slope is 0 up to -3, x/3 + 1/2 below 3, then 1.
extern "C" __global__ void __launch_bounds__(256)
hardswish_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = activate(x[i], ACTIVATION_HARDSWISH);
}

extern "C" __global__ void __launch_bounds__(256)
hardswish_backward(const real* dy, const real* x, real* dx, long long elements)
{
    long long i = thread_index();
    if (i >= elements) return;
    real slope = x[i] <= -3 ? (real)0 : x[i] < 3 ? x[i] / 3 + (real)0.5 : (real)1;
    dx[i] = dy[i] * slope;
}
