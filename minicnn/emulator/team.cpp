// Helper threads that wait for a launch without Python, and share its blocks.
//
// Waking a thread that sleeps takes 15 to 50 microseconds, and then it has to wait for Python's
// lock: as long as many a launch takes. So a helper that has just worked watches its box for a
// while before it goes to sleep. A box is AWAY while its helper is in Python, or asleep; WATCHING;
// or has a LAUNCH. The helper alone ends AWAY and LAUNCH, and only the caller begins LAUNCH.
#include "cuda_shim.h"
#ifndef _WIN32
#include <sched.h>
#include <time.h>
#endif

typedef unsigned long long u64;
typedef void (*Run)(const char* cells, u64 first, u64 last);  // emu_run of a kernel
enum State { AWAY, WATCHING, LAUNCH };

struct Launch {
    Run run;
    const char* cells;
    u64 blocks, pieces, next;
};

struct Box {
    int state;
    unsigned calls;  // how often the helper was called back to Python
    Launch* launch;
    char apart[112];  // from other boxes: two lines of a cache
};

static void work(Launch* launch)
{
    for (;;) {
        u64 k = __atomic_fetch_add(&launch->next, 1, __ATOMIC_RELAXED), n = launch->pieces;
        if (k >= n) return;
        launch->run(launch->cells, launch->blocks * k / n, launch->blocks * (k + 1) / n);
    }
}

static void pause_()
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#ifdef _WIN32
EMU_EXPORT int emu_can_watch() { return 0; }
static long long now() { return 0; }
static void give_way() {}
#else
EMU_EXPORT int emu_can_watch() { return 1; }
static long long now()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static void give_way() { sched_yield(); }
#endif

// A helper's part: takes part in launches, until it is called or nothing has come for a while.
// `taken` is how many calls it has answered.
EMU_EXPORT void emu_watch(Box* box, unsigned taken, long long nanoseconds)
{
    __atomic_store_n(&box->state, WATCHING, __ATOMIC_SEQ_CST);
    long long end = now() + nanoseconds;
    for (unsigned turn = 1;; turn++) {
        if (__atomic_load_n(&box->state, __ATOMIC_ACQUIRE) == LAUNCH) {
            work(box->launch);
            __atomic_store_n(&box->state, WATCHING, __ATOMIC_RELEASE);
            end = now() + nanoseconds;
        }
        bool called = __atomic_load_n(&box->calls, __ATOMIC_SEQ_CST) != taken, late = false;
        if (turn % 16 == 0) {
            give_way();  // to a thread that works: there may be more of them than cores
            late = now() > end;
        }
        if (called || late) {
            int watching = WATCHING;
            if (__atomic_compare_exchange_n(&box->state, &watching, AWAY, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST))
                return;
        }
        pause_();
    }
}

// Calls a helper back to Python, where something waits for it.
EMU_EXPORT void emu_call(Box* box) { __atomic_fetch_add(&box->calls, 1, __ATOMIC_SEQ_CST); }

// Runs a launch with so many helpers. Returns 0, and does nothing, unless all of them watch.
EMU_EXPORT int emu_share(Box* boxes, int helpers, Run run, const char* cells, u64 blocks,
                         u64 pieces)
{
    for (int i = 0; i < helpers; i++)
        if (__atomic_load_n(&boxes[i].state, __ATOMIC_ACQUIRE) != WATCHING) return 0;
    Launch launch = {run, cells, blocks, pieces, 0};
    for (int i = 0; i < helpers; i++) {
        int watching = WATCHING;
        boxes[i].launch = &launch;
        if (!__atomic_compare_exchange_n(&boxes[i].state, &watching, LAUNCH, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            boxes[i].launch = 0;  // it has just gone away: the others do its part
    }
    work(&launch);
    for (int i = 0; i < helpers; i++) {
        if (!boxes[i].launch) continue;
        for (unsigned turn = 1; __atomic_load_n(&boxes[i].state, __ATOMIC_ACQUIRE) == LAUNCH; turn++)
            turn % 4096 ? pause_() : give_way();
    }
    return 1;
}
