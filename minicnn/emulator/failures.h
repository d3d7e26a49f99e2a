// What runtime.cpp says when a launch cannot go on: who waits where, and for whom in vain.
//
// A part of runtime.cpp, whose variables it reads; it ends a launch by give_up().
#pragma once
#include <stdarg.h>
#include <stdio.h>

static void append(const char* format, ...) {
    size_t used = strlen(message);
    va_list values;
    va_start(values, format);
    vsnprintf(message + used, sizeof message - used, format, values);
    va_end(values);
}

static const char* base_name(const char* path) {
    const char* name = path;
    for (; *path; path++)
        if (*path == '/' || *path == '\\') name = path + 1;
    return name;
}

static void append_block() { append("block (%u, %u, %u)", blockIdx.x, blockIdx.y, blockIdx.z); }

static void append_thread(const Thread* t) {
    append("thread (%u, %u, %u)", t->index.x, t->index.y, t->index.z);
}

static void append_place(const char* file, int line) {
    append("line %d of %s", line, base_name(file));
}

void give_up(FailureKind kind, const Thread* thread, const char* file, int line) {
    void* forgotten;
    failure = {kind, line, thread->number, file, blockIdx};
    emu_switch(&forgotten, launch_stack_pointer);
    __builtin_unreachable();
}

extern "C" void emu_fail(const char* what, const char* file, int line) {
    append_block();
    append(", ");
    append_thread(current);
    append(", ");
    append_place(file, line);
    append(": %s", what);
    give_up(failed_assertion, current, file, line);
}

static bool same_place(const Thread* a, const Thread* b) {
    return a->operation == b->operation && a->line == b->line && !strcmp(a->file, b->file);
}

static void append_waiting(const Thread* t) {
    append_thread(t);
    append(" waits in %s at ", operation_names[t->operation]);
    append_place(t->file, t->line);
}

// Two threads that should be at the same barrier or warp operation and are not.
[[noreturn]] static void fail_divergent(const Thread* a, const Thread* b) {
    append_block();
    append(": divergent %s: ", operation_names[a->operation]);
    append_waiting(a);
    append(", but ");
    append_waiting(b);
    append("; all must reach the same one");
    const Thread* earlier = b->line < a->line ? b : a;
    give_up(divergent_barrier, earlier, earlier->file, earlier->line);
}

// Nobody can run and some threads still wait: lists where, one line per run of equal threads.
static void report_deadlock() {
    const Thread* waiting = threads;
    while (waiting->operation == finished) waiting++;
    failure = {deadlock, waiting->line, waiting->number, waiting->file, blockIdx};
    append_block();
    append(": deadlock: every thread that is left waits for others that never come");
    for (int first = 0, last, lines = 0; first < thread_count && lines < 8; first = last + 1) {
        for (last = first; last + 1 < thread_count; last++) {
            const Thread *a = &threads[first], *b = &threads[last + 1];
            if (a->operation != b->operation) break;
            if (a->operation != finished && !same_place(a, b)) break;
        }
        append("\n  ");
        if (last > first) {
            append_thread(&threads[first]);
            append(" to ");
        }
        if (threads[last].operation == finished) {
            append_thread(&threads[last]);
            append(" finished");
        } else {
            append_waiting(&threads[last]);
        }
        lines++;
    }
}

// Called from the handler of a signal: only notes what happened.
static void end_overdue_launch() {
    overdue = true;
    if (current && !in_c_library) give_up(timed_out, current, "", 0);
}

static void append_overdue() {
    append_block();
    append(", ");
    append_thread(&threads[failure.thread]);
    append(" is still running %g seconds after this block started: is its loop endless? "
           "minicnn.emulator.check names the line; if the kernel only needs longer, pass timeout=",
           patience);
}
