// Max unpooling: x (N, H, W, C) put back at the places p*OW + q of y (N, OH, OW, C), 0 elsewhere.
//
// A place may be named twice: then the last x in row-major order stays, and it alone gets the
// gradient. So that no two threads write the same y, the places are claimed first.
//
// claim: owner[n,p,q,c] = the largest h*W + w whose place is (p,q); it starts at -1, nobody.
//   Threads: one per x. Two reads, one atomic maximum: the result does not depend on the order.
// forward: y[n,p,q,c] = x at the owner, or 0. Threads: one per y. At most two reads, one write.
// backward: dx[n,h,w,c] = dy at its place, or 0 where another x stayed. Threads: one per x. Two or
//   three reads, one write.
// Neighbouring threads differ in c.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
max_unpool_claim(const int* place, int* owner, long long elements, int C, int inputs, int outputs)
{
    long long index = thread_index();
    if (index >= elements) return;

    int c = index % C;
    int pixel = index / C % inputs;
    long long n = index / C / inputs;
    atomicMax(&owner[(n * outputs + place[index]) * C + c], pixel);
}

extern "C" __global__ void __launch_bounds__(256)
max_unpool_forward(const real* x, const int* owner, real* y, long long elements, int C, int inputs,
                   int outputs)
{
    long long index = thread_index();
    if (index >= elements) return;

    int c = index % C;
    long long n = index / C / outputs;
    int pixel = owner[index];
    y[index] = pixel < 0 ? 0 : x[(n * inputs + pixel) * C + c];
}

extern "C" __global__ void __launch_bounds__(256)
max_unpool_backward(const real* dy, const int* place, const int* owner, real* dx,
                    long long elements, int C, int inputs, int outputs)
{
    long long index = thread_index();
    if (index >= elements) return;

    int c = index % C;
    int pixel = index / C % inputs;
    long long n = index / C / inputs;
    long long output = (n * outputs + place[index]) * C + c;
    dx[index] = owner[output] == pixel ? dy[output] : 0;
}
