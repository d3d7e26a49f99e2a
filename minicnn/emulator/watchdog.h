// Ends a launch whose kernel never comes back: a plain one, and one under the sanitizer whose loop
// has no statement left that could ask the sanitizer's own clock.
//
// Nothing in an endless loop asks whether it should stop, so somebody must interrupt it: the
// operating system, by a timer's signal. The handler runs on the kernel's own stack, in the middle
// of the loop. If no block has finished for four ticks of the timer, it switches to emu_launch's
// stack, as if the kernel had called a function that does not return.
//
// - Inside printf() the C library may hold a lock: then the launch ends when printf() is done.
// - The signal is SIGURG, which does nothing unless a program asks for it.
// - Linux can time one thread, by the time that it computes: a busy machine or a debugger ends no
//   launch. Other POSIX systems (not yet run there) time the process by the clock on the wall, with
//   SIGALRM, and hand the signal on to the right thread.
// - Windows has no signals: an endless loop is not ended there. (The sanitizer, which counts the
//   steps of a kernel, ends it everywhere.)
#pragma once
#include <stdint.h>

static volatile uint64_t blocks_done;    // of all launches: the sign of progress
static volatile bool in_c_library, overdue;
static double patience;                  // seconds that a block may take; 0: for ever

static void end_overdue_launch();        // in runtime.cpp

#ifdef _WIN32
static void start_watchdog() {}
static void stop_watchdog() {}
#else
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t seen_done;
static volatile int idle_ticks;

static void on_tick() {
    if (seen_done != blocks_done) idle_ticks = 0;
    seen_done = blocks_done;
    if (++idle_ticks > 4) end_overdue_launch();
}

static long tick_nanoseconds(long* seconds) {
    double tick = patience / 4 > 1e-4 ? patience / 4 : 1e-4;
    *seconds = (long)tick;
    return (long)((tick - *seconds) * 1e9);
}

static struct sigaction handler_before;

static void install_handler(int number, void (*handler)(int)) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = SA_NODEFER | SA_RESTART;  // the handler may never return: do not block
    sigaction(number, &action, &handler_before);
    seen_done = blocks_done;
    idle_ticks = 0;
    overdue = false;
}

#ifdef __linux__
#include <sys/syscall.h>

static int timer = -1;

static void handle_tick(int) { on_tick(); }

static void start_watchdog() {
    if (patience <= 0) return;
    struct sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGURG;
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    if (syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &event, &timer)) { timer = -1; return; }
    install_handler(SIGURG, handle_tick);
    struct itimerspec times = {};
    times.it_interval.tv_nsec = tick_nanoseconds(&times.it_interval.tv_sec);
    times.it_value = times.it_interval;
    syscall(SYS_timer_settime, timer, 0, &times, 0);
}

static void stop_watchdog() {
    if (timer < 0) return;
    syscall(SYS_timer_delete, timer);
    timer = -1;
    sigaction(SIGURG, &handler_before, 0);
}
#else
static pthread_t launching_thread;
static struct itimerval timer_before;
static bool watching;

static void handle_tick(int number) {
    if (pthread_equal(pthread_self(), launching_thread)) on_tick();
    else pthread_kill(launching_thread, number);
}

static void start_watchdog() {
    if (patience <= 0) return;
    launching_thread = pthread_self();
    install_handler(SIGALRM, handle_tick);
    struct itimerval times = {};
    long seconds;
    times.it_interval.tv_usec = (int)(tick_nanoseconds(&seconds) / 1000);
    times.it_interval.tv_sec = seconds;
    times.it_value = times.it_interval;
    watching = !setitimer(ITIMER_REAL, &times, &timer_before);
}

static void stop_watchdog() {
    if (!watching) return;
    watching = false;
    setitimer(ITIMER_REAL, &timer_before, 0);
    sigaction(SIGALRM, &handler_before, 0);
}
#endif
#endif
