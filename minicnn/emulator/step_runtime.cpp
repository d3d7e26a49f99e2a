// The runtime that records what one thread does, line by line (see stepping.py).
//
// Two kinds of calls come from the kernel: emu_step before each line (assembly.py puts them in),
// and __tsan_read4 and its like before each access to memory (-fsanitize=thread puts them in; its
// own library is not linked). What the chosen thread does becomes events in one long record; a
// line's event carries a copy of the thread's stack, where all its local variables are.
#include <stdlib.h>

#include "runtime.cpp"
#if !defined(__x86_64__) || !defined(__linux__)
#error "stepping works on 64-bit Linux on x86 processors only"
#endif

enum Kind { entered, at_line, reads, writes, waits };

struct Event {
    uint32_t kind;
    uint32_t detail;   // a line's site, a number that assembly.py chose; what is waited at
    uint64_t pc;       // a line: where its instructions are
    uint64_t frame;    // the frame pointer of the function that did it
    uint64_t address;  // of the memory accessed; a line: of the stack copied
    uint64_t bytes;    // that follow this event, rounded up to a multiple of 8
};

enum { unset = 0xf5 };  // fills variables that have no value yet
enum { still = 1 };     // no line, but a place in a loop that may have none

enum Stop { not_stopped, limit_reached, endless_loop, access_outside, record_full };

struct Result {  // read by stepping.py
    char* record;
    uint64_t used;
    uint32_t stop, site, thread, kind;  // why the record ends before the thread does, and where
    uint64_t address, bytes;
};
struct Memory { uint64_t start, end; };

static Result result;
static uint64_t capacity, most_bytes, lines_left;
static int chosen;
static uint64_t pending;                     // position of a write whose value is not known yet
static const Memory* memory;                 // what the kernel may access: its arrays
static int memory_count;
static uint32_t sites[max_threads];          // the line each thread is in
static Thread* counted;                      // the thread whose lines are being counted ...
static uint64_t may_run;                     // ... and how many it may still run without waiting
enum : uint64_t { most_lines_alone = 20000000, nothing_pending = ~0ull };

[[noreturn]] static void stop(Stop why, uint32_t kind, uint64_t address, uint64_t bytes) {
    result.stop = why;
    result.thread = current->number;
    result.site = sites[current->number];
    result.kind = kind;
    result.address = address;
    result.bytes = bytes;
    give_up(trace_full, current, "", 0);
}

static bool watched() { return current && current->number == chosen; }

// A write's hook comes before the write: its value is known when the next event comes.
static void settle() {
    if (pending == nothing_pending) return;
    Event* event = (Event*)(result.record + pending);
    memcpy(event + 1, (void*)event->address, event->bytes);
    pending = nothing_pending;
}

static void record(Event event, const void* content) {
    settle();
    uint64_t size = sizeof event + (event.bytes + 7) / 8 * 8;
    if (result.used + size > capacity) {
        if (result.used + size > most_bytes) stop(record_full, 0, 0, 0);
        uint64_t larger = capacity * 2 + size;
        char* moved = (char*)realloc(result.record, larger);
        if (!moved) stop(record_full, 0, 0, 0);
        result.record = moved;
        capacity = larger;
    }
    memcpy(result.record + result.used, &event, sizeof event);
    if (content) memcpy(result.record + result.used + sizeof event, content, event.bytes);
    else pending = result.used;
    result.used += size;
}

// ---- lines --------------------------------------------------------------------------------------
static uint64_t stack_end(uint64_t inside) {  // of the fiber's stack that holds this address
    uint64_t number = (inside - (uint64_t)stacks) / stack_stride;
    return (uint64_t)stacks + (number + 1) * stack_stride;
}

#pragma GCC visibility push(hidden)
extern "C" void emu_step_line(int64_t site, uint64_t pc, uint64_t frame, uint64_t stack) {
    if (!current) return;  // the constructor of a static variable
    if (site <= 0) {       // a function begins, or has made room for its variables
        if (watched() && !site) record({entered, 0, 0, frame, 0, 0}, "");
        if (watched() && site) memset((void*)stack, unset, -site);
        return;
    }
    if (site != still) sites[current->number] = (uint32_t)site;
    if (!watched()) {
        if (current != counted) {
            counted = current;
            may_run = most_lines_alone;
        }
        if (!may_run--) stop(endless_loop, 0, 0, 0);
        return;
    }
    if (!lines_left--) stop(limit_reached, 0, 0, 0);
    if (site == still) return;
    uint64_t bytes = stack_end(stack) - stack;
    record({at_line, (uint32_t)site, pc, frame, stack, bytes}, (void*)stack);
}
#pragma GCC visibility pop

// emu_step, called with the site on the stack. It stands anywhere between two instructions, so it
// leaves every register and the flags as they were.
__asm__(R"(
.text
.hidden emu_step
.globl emu_step
emu_step:
    pushfq
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    movq %rsp, %rbx
    movq 96(%rbx), %rdi
    movq 88(%rbx), %rsi
    movq %rbp, %rdx
    leaq 104(%rbx), %rcx
    subq $256, %rsp
    andq $-16, %rsp
    cld
)"
#define EMU_EACH_XMM(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) \
    DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define EMU_SAVE(N) "movups %xmm" #N ", 16*" #N "(%rsp)\n"
#define EMU_RESTORE(N) "movups 16*" #N "(%rsp), %xmm" #N "\n"
EMU_EACH_XMM(EMU_SAVE)
"call emu_step_line\n"
EMU_EACH_XMM(EMU_RESTORE)
R"(
    movq %rbx, %rsp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    popfq
    ret $8
)");

// ---- memory -------------------------------------------------------------------------------------
extern "C" char __ehdr_start[] __attribute__((visibility("hidden")));  // this library's first byte,
extern "C" char _end[] __attribute__((visibility("hidden")));          // and its end

static bool within(uint64_t address, uint64_t bytes, const void* start, const void* end) {
    return address >= (uint64_t)start && address + bytes <= (uint64_t)end;
}

static bool allowed(uint64_t address, uint64_t bytes) {
    for (int i = 0; i < memory_count; i++)
        if (address >= memory[i].start && address + bytes <= memory[i].end) return true;
    return within(address, bytes, stacks, stacks + max_threads * stack_stride) ||
           within(address, bytes, __ehdr_start, _end);
}

static void access(Kind kind, const void* where, uint64_t bytes, uint64_t frame) {
    if (!current || !bytes) return;
    uint64_t address = (uint64_t)where;
    if (!allowed(address, bytes)) stop(access_outside, kind, address, bytes);
    if (!watched() || within(address, bytes, stacks, stacks + max_threads * stack_stride)) return;
    record({(uint32_t)kind, 0, 0, frame, address, bytes}, kind == reads ? where : nullptr);
}

// The frame pointer of the caller; the compiler keeps one in a function that asks for its own.
#define EMU_CALLER (*(uint64_t*)__builtin_frame_address(0))
#define EMU_HOOK extern "C" __attribute__((visibility("hidden"))) void

#define EMU_ACCESS(BYTES) \
    EMU_HOOK __tsan_read##BYTES(void* p) { access(reads, p, BYTES, EMU_CALLER); } \
    EMU_HOOK __tsan_write##BYTES(void* p) { access(writes, p, BYTES, EMU_CALLER); } \
    EMU_HOOK __tsan_unaligned_read##BYTES(void* p) { access(reads, p, BYTES, EMU_CALLER); } \
    EMU_HOOK __tsan_unaligned_write##BYTES(void* p) { access(writes, p, BYTES, EMU_CALLER); } \
    EMU_HOOK __tsan_volatile_read##BYTES(void* p) { access(reads, p, BYTES, EMU_CALLER); } \
    EMU_HOOK __tsan_volatile_write##BYTES(void* p) { access(writes, p, BYTES, EMU_CALLER); } \
    EMU_HOOK __tsan_unaligned_volatile_read##BYTES(void* p) { \
        access(reads, p, BYTES, EMU_CALLER); \
    } \
    EMU_HOOK __tsan_unaligned_volatile_write##BYTES(void* p) { \
        access(writes, p, BYTES, EMU_CALLER); \
    } \
    EMU_HOOK __tsan_read_write##BYTES(void* p) { \
        access(reads, p, BYTES, EMU_CALLER); \
        access(writes, p, BYTES, EMU_CALLER); \
    } \
    EMU_HOOK __tsan_unaligned_read_write##BYTES(void* p) { \
        access(reads, p, BYTES, EMU_CALLER); \
        access(writes, p, BYTES, EMU_CALLER); \
    }
EMU_ACCESS(1) EMU_ACCESS(2) EMU_ACCESS(4) EMU_ACCESS(8) EMU_ACCESS(16)

EMU_HOOK __tsan_read_range(void* p, size_t bytes) { access(reads, p, bytes, EMU_CALLER); }
EMU_HOOK __tsan_write_range(void* p, size_t bytes) { access(writes, p, bytes, EMU_CALLER); }

extern "C" __attribute__((visibility("hidden"))) void* __tsan_memcpy(void* to, const void* from,
                                                                     size_t bytes) {
    access(reads, from, bytes, EMU_CALLER);
    access(writes, to, bytes, EMU_CALLER);
    return memcpy(to, from, bytes);
}
extern "C" __attribute__((visibility("hidden"))) void* __tsan_memmove(void* to, const void* from,
                                                                      size_t bytes) {
    access(reads, from, bytes, EMU_CALLER);
    access(writes, to, bytes, EMU_CALLER);
    return memmove(to, from, bytes);
}
extern "C" __attribute__((visibility("hidden"))) void* __tsan_memset(void* to, int value,
                                                                     size_t bytes) {
    access(writes, to, bytes, EMU_CALLER);
    return memset(to, value, bytes);
}

EMU_HOOK __tsan_init() {}
EMU_HOOK __tsan_vptr_read(void**) {}
EMU_HOOK __tsan_vptr_update(void**, void*) {}
EMU_HOOK __tsan_func_entry(void*) {}
EMU_HOOK __tsan_func_exit() {
    if (watched()) settle();
}

// ---- waiting ------------------------------------------------------------------------------------
// The kernel's calls come here by macros (see compiler.py), and go on to the plain runtime.
static void note_wait(Operation operation, uint64_t frame) {
    if (watched()) record({waits, (uint32_t)operation, 0, frame, 0, 0}, "");
}

EMU_HOOK emu_step_syncthreads(const char* file, int line) {
    note_wait(at_syncthreads, EMU_CALLER);
    emu_syncthreads(file, line);
}
EMU_HOOK emu_step_syncwarp(unsigned mask, const char* file, int line) {
    note_wait(at_syncwarp, EMU_CALLER);
    emu_syncwarp(mask, file, line);
}
extern "C" __attribute__((visibility("hidden"))) unsigned long long emu_step_shuffle(
    unsigned long long value, int source, unsigned mask, const char* file, int line) {
    note_wait(at_shuffle, EMU_CALLER);
    return emu_shuffle(value, source, mask, file, line);
}
extern "C" __attribute__((visibility("hidden"))) unsigned emu_step_ballot(
    int predicate, unsigned mask, const char* file, int line) {
    note_wait(at_ballot, EMU_CALLER);
    return emu_ballot(predicate, mask, file, line);
}

// ---- launching ----------------------------------------------------------------------------------
// Runs one block and records one of its threads. CUDA promises no order of blocks, so a block that
// runs first and alone does what it may do on a GPU.
EMU_EXPORT int emu_step_launch(void (*entry)(void**), void** entry_arguments, const unsigned* grid,
                               const unsigned* block, unsigned shared_bytes, void* stack_memory,
                               uint64_t block_number, int thread, uint64_t most_lines,
                               uint64_t most_record_bytes, const Memory* arrays, int array_count) {
    result = Result();
    capacity = 0;
    most_bytes = most_record_bytes;
    lines_left = most_lines;
    chosen = thread;
    pending = nothing_pending;
    memory = arrays;
    memory_count = array_count;
    counted = nullptr;
    prepare_launch(entry, entry_arguments, grid, block, stack_memory);
    order_threads(forward);
    memset(sites, 0, sizeof sites);
    run_block(block_number, shared_bytes);
    settle();
    current = nullptr;
    fflush(stdout);
    return failure.kind != no_failure;
}

EMU_EXPORT const Result* emu_step_result() { return &result; }
EMU_EXPORT void emu_step_forget() { free(result.record); result = Result(); }
EMU_EXPORT void* emu_step_shared() { return emu_dynamic_shared; }
EMU_EXPORT void* emu_step_base() { return __ehdr_start; }
