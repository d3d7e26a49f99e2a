// Stacks and the switch between them: the machine-dependent ground under runtime.cpp.
//
// To suspend a function call and go on with another, it is enough to store the registers that
// a function must preserve, exchange the stack pointer, and load the other side's registers:
// about 10 ns. (ucontext does the same with two system calls, 20 times slower; an operating
// system's thread for each CUDA thread would be 10 times slower still.)
#pragma once
#include <string.h>

#include "runtime.h"

// ---- switching stacks ---------------------------------------------------------------------------
// emu_switch(&save, load): suspends the caller, leaving its stack pointer in `save`, and continues
// whoever was suspended with stack pointer `load`. Only the registers that the platform's calling
// convention wants preserved across a call are stored; the compiler has saved the others already.
extern "C" void emu_switch(void** save, void* load) __asm__("emu_switch");

#if defined(__x86_64__) && !defined(_WIN32)  // System V: Linux, macOS, BSD
enum { return_word = 6 };
__asm__(R"(
.text
.globl emu_switch
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmpq *%rcx
)");

#elif defined(__x86_64__)  // Windows (run under Wine only). It also preserves rdi, rsi and xmm6-15,
                           // and keeps the stack's bounds in the thread block, gs:[8] and gs:[16].
enum { return_word = 30 };
__asm__(R"(
.text
.globl emu_switch
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %rdi
    pushq %rsi
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %gs:8
    pushq %gs:16
    subq $160, %rsp
    movups %xmm6, (%rsp)
    movups %xmm7, 16(%rsp)
    movups %xmm8, 32(%rsp)
    movups %xmm9, 48(%rsp)
    movups %xmm10, 64(%rsp)
    movups %xmm11, 80(%rsp)
    movups %xmm12, 96(%rsp)
    movups %xmm13, 112(%rsp)
    movups %xmm14, 128(%rsp)
    movups %xmm15, 144(%rsp)
    movq %rsp, (%rcx)
    movq %rdx, %rsp
    movups (%rsp), %xmm6
    movups 16(%rsp), %xmm7
    movups 32(%rsp), %xmm8
    movups 48(%rsp), %xmm9
    movups 64(%rsp), %xmm10
    movups 80(%rsp), %xmm11
    movups 96(%rsp), %xmm12
    movups 112(%rsp), %xmm13
    movups 128(%rsp), %xmm14
    movups 144(%rsp), %xmm15
    addq $160, %rsp
    popq %gs:16
    popq %gs:8
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rsi
    popq %rdi
    popq %rbx
    popq %rbp
    popq %rcx
    jmpq *%rcx
)");

#elif defined(__aarch64__)  // Linux (run under qemu). macOS and Windows have the same convention:
                            // not yet run there.
enum { return_word = 11 };  // x30, the return address, is the twelfth word
__asm__(R"(
.text
.globl emu_switch
emu_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
#else
#error "the emulator can switch stacks on x86-64 and on 64-bit ARM only"
#endif

// ---- stacks -------------------------------------------------------------------------------------
// One stack for each thread of the largest block, each with an inaccessible page below it, so that
// a stack overflow stops the program instead of corrupting a neighbour. The operating system
// provides memory only for the pages that are used: about one per stack.
static inline void* new_stacks() {
    size_t bytes = max_threads * stack_stride;
#ifdef _WIN32
    char* base = (char*)VirtualAlloc(0, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    DWORD before;
    for (int i = 0; base && i < max_threads; i++)
        VirtualProtect(base + i * stack_stride, guard_bytes, PAGE_NOACCESS, &before);
    return base;
#else
    char* base = (char*)mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (base == MAP_FAILED) return 0;
    for (int i = 0; i < max_threads; i++)
        mprotect(base + i * stack_stride, guard_bytes, PROT_NONE);
    return base;
#endif
}

// Makes stack `number` look like one that was suspended just before the first instruction of
// `function`, and returns its stack pointer.
static inline void* prepare_stack(int number, void (*function)()) {
    char* bottom = stacks + number * stack_stride + guard_bytes;
    // Stacks lie a multiple of 4096 bytes apart: without this shift, the tops of all of them
    // would compete for the same few lines of the L1 cache.
    int shift = number * 192 % 4096;
    // The frame holds the saved registers and a little room above them. It starts at a multiple of
    // 16, which leaves the stack pointer as all three conventions want it on entry to a function.
    uintptr_t* sp = (uintptr_t*)(bottom + stack_bytes - shift) - 40;
    memset(sp, 0, 40 * sizeof *sp);
    sp[return_word] = (uintptr_t)function;
#if defined(_WIN32) && defined(__x86_64__)
    sp[20] = (uintptr_t)bottom;                  // goes to gs:[16], the stack's limit
    sp[21] = (uintptr_t)(bottom + stack_bytes);  // goes to gs:[8], the stack's base
#endif
    return sp;
}
