// What runtime.cpp shows to the files that are linked with it in the other modes (sanitizer.cpp).
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define EMU_EXPORT extern "C" __declspec(dllexport)
#else
#include <sys/mman.h>
#define EMU_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// A thread's stack: 64 KB for the kernel, 16 for the signal that may interrupt it (watchdog.h).
enum { max_threads = 1024, stack_bytes = 80 * 1024, guard_bytes = 16 * 1024 };
static const size_t stack_stride = stack_bytes + guard_bytes;

struct Index { unsigned x, y, z; };

enum Operation { running, at_syncthreads, at_syncwarp, at_shuffle, at_ballot, finished };

struct Thread {
    void* stack_pointer;          // where it is suspended
    Index index;                  // its threadIdx
    int number;                   // its position in the block; warp = number / 32
    Operation operation;          // what it is waiting at
    const char* file;             // ... and where
    int line;
    unsigned mask;                // a warp operation: the lanes that take part,
    int source;                   // the lane a shuffle reads,
    unsigned long long value;     // the value given, and once released, the value received
};

// Why a launch ended early, and where. sanitizer.py has the same list.
enum FailureKind {
    no_failure, failed_assertion, divergent_barrier, deadlock, timed_out, out_of_bounds, trace_full
};
struct Failure { int kind, line, thread; const char* file; Index block; };

// A variable that the kernel declares and all threads see; cuda_shim.h has the same struct.
struct Variable {
    const char* name;
    const volatile void* address;
    size_t bytes, item;           // of the whole, of one element
    int rank, dims[4];
    bool known;
    Variable* next;
};

// Whom the runtime tells what it does; all null in a plain launch.
struct Observer {
    void (*block_started)(uint64_t number);
    void (*barrier_opened)();
    void (*warp_synced)(int warp, unsigned lanes);
    void (*variable_declared)(const Variable*);
};

#pragma GCC visibility push(hidden)
extern "C" {
extern Index threadIdx, blockIdx, blockDim, gridDim;
extern unsigned char emu_dynamic_shared[];
}
extern char* stacks;              // one for each thread of the largest block
extern Thread* current;           // null outside a launch
extern Thread threads[];
extern int thread_count;
extern Failure failure;
extern Observer observer;
extern Variable* shared_variables;  // those whose declaration a thread has passed

// Gives up the launch: every suspended call is forgotten, and emu_launch returns.
[[noreturn]] void give_up(FailureKind kind, const Thread* thread, const char* file, int line);
#pragma GCC visibility pop
