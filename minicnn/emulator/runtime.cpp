// How one CPU thread plays a whole CUDA block.
//
// A CUDA thread is a call of the kernel. As long as threads do not wait for each other, they can be
// called one after the other on the same stack: a kernel without barriers is a plain loop of calls.
// When a thread reaches __syncthreads(), it cannot go on, but its half-finished call must stay
// on its stack. So the runtime leaves that stack as it is, takes a fresh one, and goes on with the
// next thread there. A stack with a suspended call on it is called a fiber. Once all threads of the
// block have arrived, the barrier opens: the suspended threads form a queue, and the runtime
// switches to the first one's stack, where emu_syncthreads() returns as if nothing had happened.
//
// Switching stacks (fibers.h) is a dozen instructions. Nothing here is preemptive: a thread keeps
// the CPU until it waits or returns. Blocks run one after the other.
//
// This file is compiled once and linked into every kernel's library, so each kernel has its own
// copy of the state below; the stacks are the one thing all libraries share. launch.py holds a lock
// during a launch.
#include <stdarg.h>
#include <stdio.h>

#include "fibers.h"
#include "runtime.h"
#include "watchdog.h"

// ---- the state of a launch ----------------------------------------------------------------------
static const char* const operation_names[] = {
    "running", "__syncthreads()", "__syncwarp()", "a shuffle", "a vote", "finished"};

#pragma GCC visibility push(hidden)
extern "C" {  // the kernel's view: see cuda_shim.h
Index threadIdx, blockIdx, blockDim, gridDim;
alignas(1024) unsigned char emu_dynamic_shared[227 * 1024];
}
Thread* current;
Thread threads[max_threads];
int thread_count;
Failure failure;
Observer observer;
Variable* shared_variables;
char* stacks;
#pragma GCC visibility pop

static void (*kernel)(void**);
static void** arguments;
static void* launch_stack_pointer;           // where emu_launch itself is suspended

static int started, alive;                   // of the current block's threads
static int order[max_threads];               // the thread numbers in the order they start
static int free_stacks[max_threads], free_count;
static int next_stack;                       // handed to a fiber that starts

static Thread* ready[max_threads];           // released threads, first come, first served
static unsigned ready_head, ready_count;
static Thread* barrier[max_threads];         // threads waiting at __syncthreads()
static int barrier_count;
static unsigned warp_alive[32], warp_waiting[32];  // one bit per lane

static char message[4096];

#include "failures.h"

// ---- who runs next ------------------------------------------------------------------------------
static void run_fresh_threads();

static void make_ready(Thread* t) {
    t->operation = running;
    ready[(ready_head + ready_count++) % max_threads] = t;
}

// Suspends the caller and turns to somebody who can run: a released thread, else a fresh stack for
// threads that have not started, else back to emu_launch (the block is done, or stuck).
static void leave(void** stack_pointer) {
    void* target = launch_stack_pointer;
    if (ready_count) {
        current = ready[ready_head];
        ready_head = (ready_head + 1) % max_threads;
        ready_count--;
        threadIdx = current->index;
        if (&current->stack_pointer == stack_pointer) return;  // the caller itself is next
        target = current->stack_pointer;
    } else if (started < thread_count) {
        next_stack = free_stacks[--free_count];
        target = prepare_stack(next_stack, run_fresh_threads);
    }
    emu_switch(stack_pointer, target);
}

static void wait_at(Operation operation, const char* file, int line) {
    current->operation = operation;
    current->file = file;
    current->line = line;
}

static void open_barrier() {
    for (int i = 1; i < barrier_count; i++)
        if (!same_place(barrier[0], barrier[i])) fail_divergent(barrier[0], barrier[i]);
    for (int i = 0; i < barrier_count; i++) make_ready(barrier[i]);
    barrier_count = 0;
    if (observer.barrier_opened) observer.barrier_opened();
}

// What a warp operation gives to `lane`, seen when all lanes of `group` wait in it.
static unsigned long long received(const Thread* warp, int lane, unsigned group) {
    if (warp[lane].operation == at_shuffle) {
        int source = warp[lane].source;
        // The value of a lane that takes no part is undefined: all ones, a NaN.
        return group >> source & 1 ? warp[source].value : ~0ull;
    }
    unsigned long long votes = 0;
    for (int i = 0; i < 32; i++)
        if (group >> i & 1 && warp[i].value) votes |= 1ull << i;
    return votes;
}

// Releases the lanes of `mask` if all of them that are alive wait in the same warp operation.
static void try_release_lanes(int warp_number, unsigned mask) {
    unsigned group = mask & warp_alive[warp_number];
    if (!group || (warp_waiting[warp_number] & group) != group) return;
    Thread* warp = &threads[warp_number * 32];
    const Thread* first = &warp[__builtin_ctz(group)];
    for (int lane = 0; lane < 32; lane++)
        if (group >> lane & 1 && warp[lane].mask != mask) return;
    unsigned long long results[32];
    for (int lane = 0; lane < 32; lane++) {
        if (!(group >> lane & 1)) continue;
        if (warp[lane].operation != first->operation) fail_divergent(first, &warp[lane]);
        results[lane] = received(warp, lane, group);
    }
    bool orders_memory = first->operation == at_syncwarp;  // shuffles and votes do not
    for (int lane = 0; lane < 32; lane++) {
        if (!(group >> lane & 1)) continue;
        warp[lane].value = results[lane];
        make_ready(&warp[lane]);
    }
    warp_waiting[warp_number] &= ~group;
    if (orders_memory && observer.warp_synced) observer.warp_synced(warp_number, group);
}

static void finish_thread() {
    int warp = current->number / 32;
    current->operation = finished;
    alive--;
    warp_alive[warp] &= ~(1u << current->number % 32);
    // The others may have been waiting for this thread only.
    if (barrier_count && barrier_count == alive) open_barrier();
    for (int lane = 0; lane < 32 && warp_waiting[warp]; lane++)
        if (warp_waiting[warp] >> lane & 1)
            try_release_lanes(warp, threads[warp * 32 + lane].mask);
}

// The first function on every fiber's stack: starts threads back to back until one of them waits
// (then this call is suspended inside it) and, once resumed and done, gives the stack back.
static void run_fresh_threads() {
    int stack = next_stack;
    while (started < thread_count && !ready_count) {
        current = &threads[order[started++]];
        current->operation = running;
        threadIdx = current->index;
        kernel(arguments);
        finish_thread();
    }
    free_stacks[free_count++] = stack;
    void* forgotten;
    leave(&forgotten);
    __builtin_unreachable();
}

// ---- called by kernels --------------------------------------------------------------------------
#pragma GCC visibility push(hidden)
extern "C" int emu_lane() { return current->number % 32; }

// A thread passes the declaration of a shared variable for the first time.
extern "C" void emu_register_shared(Variable* variable) {
    variable->next = shared_variables;
    shared_variables = variable;
    variable->known = true;
    memset((void*)variable->address, 0xff, variable->bytes);
    if (observer.variable_declared) observer.variable_declared(variable);
}

extern "C" int emu_printf(const char* format, ...) {
    va_list values;
    va_start(values, format);
    in_c_library = true;
    int written = vprintf(format, values);
    in_c_library = false;
    va_end(values);
    if (overdue) end_overdue_launch();
    return written;
}

extern "C" void emu_syncthreads(const char* file, int line) {
    wait_at(at_syncthreads, file, line);
    barrier[barrier_count++] = current;
    if (barrier_count == alive) open_barrier();
    leave(&current->stack_pointer);
}

static unsigned long long warp_operation(Operation operation, unsigned long long value, int source,
                                         unsigned mask, const char* file, int line) {
    Thread* me = current;
    int lane = me->number % 32, warp = me->number / 32;
    if (!(mask >> lane & 1)) emu_fail("this thread's lane is not in the mask it gives", file, line);
    wait_at(operation, file, line);
    me->mask = mask;
    me->source = source;
    me->value = value;
    warp_waiting[warp] |= 1u << lane;
    try_release_lanes(warp, mask);
    leave(&me->stack_pointer);
    return me->value;
}

extern "C" void emu_syncwarp(unsigned mask, const char* file, int line) {
    warp_operation(at_syncwarp, 0, 0, mask, file, line);
}

extern "C" unsigned long long emu_shuffle(unsigned long long value, int source, unsigned mask,
                                          const char* file, int line) {
    return warp_operation(at_shuffle, value, source & 31, mask, file, line);
}

extern "C" unsigned emu_ballot(int predicate, unsigned mask, const char* file, int line) {
    return (unsigned)warp_operation(at_ballot, predicate != 0, 0, mask, file, line);
}
#pragma GCC visibility pop

// ---- launching ----------------------------------------------------------------------------------
static uint64_t random_state;

static uint64_t random_below(uint64_t bound) {  // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717ull >> 16) % bound;
}

enum Order { forward, reverse, shuffled };

static void order_threads(Order how) {
    for (int i = 0; i < thread_count; i++) order[i] = how == reverse ? thread_count - 1 - i : i;
    if (how != shuffled) return;
    for (int i = thread_count - 1; i > 0; i--) {
        int j = (int)random_below(i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

static void begin_block(uint64_t block, unsigned shared_bytes) {
    blockIdx.x = block % gridDim.x;
    blockIdx.y = block / gridDim.x % gridDim.y;
    blockIdx.z = (unsigned)(block / gridDim.x / gridDim.y);
    started = barrier_count = 0;
    ready_head = ready_count = 0;
    alive = thread_count;
    for (int warp = 0; warp * 32 < thread_count; warp++) {
        int lanes = thread_count - warp * 32;
        warp_alive[warp] = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
        warp_waiting[warp] = 0;
    }
    // A GPU's shared memory holds rubbish at first. All ones are a NaN: a kernel that reads
    // before it writes shows it in its result.
    memset(emu_dynamic_shared, 0xff, shared_bytes);
    for (Variable* each = shared_variables; each; each = each->next)
        memset((void*)each->address, 0xff, each->bytes);
    if (observer.block_started) observer.block_started(block);
}

static uint64_t common_divisor(uint64_t a, uint64_t b) { return b ? common_divisor(b, a % b) : a; }

static void prepare_launch(void (*entry)(void**), void** entry_arguments, const unsigned* grid,
                           const unsigned* block, void* stack_memory) {
    kernel = entry;
    arguments = entry_arguments;
    stacks = (char*)stack_memory;
    message[0] = 0;
    failure = {};
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    thread_count = (int)(block[0] * block[1] * block[2]);
    for (int i = 0; i < thread_count; i++) {
        threads[i].number = i;
        threads[i].index.x = i % block[0];
        threads[i].index.y = i / block[0] % block[1];
        threads[i].index.z = i / block[0] / block[1];
    }
    free_count = max_threads;
    for (int i = 0; i < max_threads; i++) free_stacks[i] = max_threads - 1 - i;
}

static void run_block(uint64_t block, unsigned shared_bytes) {
    begin_block(block, shared_bytes);
    leave(&launch_stack_pointer);
    if (alive && !failure.kind) report_deadlock();
    blocks_done++;
}

// The order of blocks: steps of 1, of -1, or of a random number without a common divisor with the
// number of blocks, which visits each of them once.
static void run_blocks(uint64_t blocks, unsigned shared_bytes, Order how) {
    uint64_t step = 1, at = 0;
    if (how == reverse) at = step = blocks - 1;
    if (how == shuffled) {
        at = random_below(blocks);
        do step = 1 + random_below(blocks); while (common_divisor(step, blocks) != 1);
    }
    for (uint64_t done = 0; done < blocks && !failure.kind; done++) {
        if (how == shuffled) order_threads(shuffled);
        run_block(at, shared_bytes);
        at += step;
        if (at >= blocks) at -= blocks;
    }
}

// Runs all blocks; returns 0, or 1 if the launch failed (emu_message() says why).
EMU_EXPORT int emu_launch(void (*entry)(void**), void** entry_arguments, const unsigned* grid,
                          const unsigned* block, unsigned shared_bytes, int how, uint64_t seed,
                          void* stack_memory, double timeout) {
    prepare_launch(entry, entry_arguments, grid, block, stack_memory);
    patience = timeout;
    random_state = seed * 0x9e3779b97f4a7c15ull + 0x9e3779b97f4a7c15ull;
    if (!random_state) random_state = 1;
    order_threads((Order)how);

    start_watchdog();
    run_blocks((uint64_t)grid[0] * grid[1] * grid[2], shared_bytes, (Order)how);
    stop_watchdog();
    if (failure.kind == timed_out && !message[0]) append_overdue();
    fflush(stdout);  // what kernels printed
    return failure.kind != no_failure;
}

EMU_EXPORT void* emu_new_stacks() { return new_stacks(); }
EMU_EXPORT const char* emu_message() { return message; }
EMU_EXPORT const Failure* emu_failure() { return &failure; }
