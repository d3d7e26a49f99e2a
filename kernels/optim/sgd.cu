// A step of stochastic gradient descent, in place:
//
//   g += decay w;  v = momentum v + g (v = g in the first step);
//   w -= lr v, or for Nesterov's form w -= lr (g + momentum v).
//
// Threads: one per LANES parameters.
// Reads and writes: w, g and v read, w and v written: 20 bytes. v is null if momentum is 0.
// Why: as array expressions the step is up to six launches, each of which reads and writes whole
//   arrays. The arithmetic is nothing; the memory is all.
// Each product and sum is rounded by itself, as NumPy does it: a fused multiply-add would give
//   other bits.
#include "optim/rounded.cuh"

extern "C" __global__ void __launch_bounds__(256)
sgd(real* w, const real* g, real* v, long long elements, real lr, real momentum, real decay,
    int nesterov, int first)
{
    long long i = thread_index() * LANES;
    if (i >= elements) return;

    Lanes weight = load_lanes(w + i), step = load_lanes(g + i);
    if (decay != 0) step = plus(step, times(decay, weight));
    if (v) {
        Lanes velocity = first ? step : plus(times(momentum, load_lanes(v + i)), step);
        store_lanes(v + i, velocity);
        step = nesterov ? plus(step, times(momentum, velocity)) : velocity;
    }
    store_lanes(w + i, plus(weight, times(-lr, step)));
}
