// Activations, element by element: y = f(x), and dx = dy f'(x), computed from the saved y.
//
// Threads: one per element; neighbours read and write neighbouring numbers.
// Reads and writes: one number read forward, two backward; one written. There is nothing to gain
//   but bandwidth, so operations take an activation as an argument: see epilogue.cuh.
#include "epilogue.cuh"

// y = tanh x; the slope is 1 - y^2.
extern "C" __global__ void __launch_bounds__(256)
tanh_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = (real)tanh(x[i]);
}

extern "C" __global__ void __launch_bounds__(256)
tanh_backward(const real* dy, const real* y, real* dx, long long elements)
{
    long long i = thread_index();
    if (i < elements) dx[i] = dy[i] * (1 - y[i] * y[i]);
}

// y = 1 / (1 + e^-x); the slope is y (1 - y).
extern "C" __global__ void __launch_bounds__(256)
sigmoid_forward(const real* x, real* y, long long elements)
{
    long long i = thread_index();
    if (i < elements) y[i] = logistic(x[i]);
}

extern "C" __global__ void __launch_bounds__(256)
sigmoid_backward(const real* dy, const real* y, real* dx, long long elements)
{
    long long i = thread_index();
    if (i < elements) dx[i] = dy[i] * y[i] * (1 - y[i]);
}
