// The sanitizer: what a kernel's memory accesses call in check mode.
//
// The compiler puts a call before every access to memory whose address could be shared, the same
// calls as for ThreadSanitizer, and a call at the start of every basic block. This file answers
// them; shadow.h knows what is wrong with an access. An access outside of all known memory is
// reported before it happens, and the launch is given up.
#include <time.h>

#include "shadow.h"

// ---- the calls that the compiler inserts --------------------------------------------------------
// A site is a place in the code: the distance of the call's return address from the table that
// lines.py puts at the end of the assembly text.
extern "C" __attribute__((visibility("hidden"))) const char emu_sites[];
#define SITE ((int)((intptr_t)__builtin_return_address(0) - (intptr_t)emu_sites))

#pragma GCC visibility push(hidden)
extern "C" {
#define HOOKS(N) \
    void __tsan_read##N(void* p) { access(p, N, reading, SITE, true); } \
    void __tsan_write##N(void* p) { access(p, N, writing, SITE, true); } \
    void __tsan_unaligned_read##N(void* p) { access(p, N, reading, SITE, false); } \
    void __tsan_unaligned_write##N(void* p) { access(p, N, writing, SITE, false); }
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
void __tsan_read_range(void* p, size_t bytes) { access(p, bytes, reading, SITE, false); }
void __tsan_write_range(void* p, size_t bytes) { access(p, bytes, writing, SITE, false); }
void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
    access(from, bytes, reading, SITE, false);
    access(to, bytes, writing, SITE, false);
    return memmove(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, size_t bytes) {
    access(from, bytes, reading, SITE, false);
    access(to, bytes, writing, SITE, false);
    return memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, size_t bytes) {
    access(to, bytes, writing, SITE, false);
    return memset(to, value, bytes);
}
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}

// What names its line itself: a negative number, at the far end of what a site can be.
static int named_site(const char* file, int line) {
    for (int i = 0; i < place_count; i++)
        if (places[i].line == line && !strcmp(places[i].file, file)) return INT32_MIN + i;
    if (place_count == max_places) return INT32_MIN;
    places[place_count] = {file, line};
    return INT32_MIN + place_count++;
}

void emu_atomic(const volatile void* address, size_t bytes, const char* file, int line) {
    access(address, bytes, updating, named_site(file, line), true);
    if (!fenced) return;
    acquired = true;
    blocks_seen[block_count - 1].published = true;
}

void emu_threadfence() { fenced = true; }

// An array index that is too large for the array's type, in a row of a tile or a local array.
struct Type { uint16_t kind, info; char name[1]; };
struct BadIndex { const char* file; uint32_t line, column; const Type *array, *index; };

void __ubsan_handle_out_of_bounds(const BadIndex* bad, uintptr_t index) {
    if (!current) return;
    int unused_bits = 64 - (1 << (bad->index->info >> 1));
    int64_t value = (int64_t)index;
    if (unused_bits > 0 && bad->index->info & 1) value = value << unused_bits >> unused_bits;
    const char* file = bad->file ? bad->file : "?";
    if (Finding* f = add_finding(bad_index, named_site(file, (int)bad->line), 0, -1)) {
        f->offset = value;
        f->bytes = (int)bad->column;
        f->type = bad->array->name;
    }
    give_up(out_of_bounds, current, "", 0);
}

void emu_register_device(Variable* variable) {
    variable->next = device_variables;
    device_variables = variable;
}
}
#pragma GCC visibility pop

// ---- the watchdog -------------------------------------------------------------------------------
// Every few thousand basic blocks the clock is asked. When a block has run too long, the basic
// blocks that follow are collected: they are the endless loop.
enum { steps_between = 4096, steps_collected = 1 << 16, max_loop = 64 };
static uint32_t steps, step_mask, steps_left;
static double patience, block_start;
static int loop_sites[max_loop], loop_count;

static double now() {
    timespec time;
#ifdef CLOCK_THREAD_CPUTIME_ID
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);  // what this thread has computed
#else
    timespec_get(&time, TIME_UTC);
#endif
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void take_step(int site) {
    if (!current) return;
    if (step_mask) {
        if (patience <= 0 || now() - block_start < patience) return;
        step_mask = 0;
        steps_left = steps_collected;
    }
    if (!--steps_left) give_up(timed_out, current, "", 0);
    for (int i = 0; i < loop_count; i++)
        if (loop_sites[i] == site) return;
    if (loop_count < max_loop) loop_sites[loop_count++] = site;
}

extern "C" __attribute__((visibility("hidden"))) void __sanitizer_cov_trace_pc() {
    if (!(++steps & step_mask)) take_step(SITE);
}

// ---- the trace ----------------------------------------------------------------------------------
static Event* events;
static size_t event_count, event_room, event_limit;
static int64_t traced_block;       // -1: all of them
static bool tracing;

static void note_event(const Region* r, size_t offset, size_t bytes, Access how, int site) {
    if (!tracing) return;
    uint64_t block = blocks_seen[block_count - 1].block;
    if (traced_block >= 0 && (uint64_t)traced_block != block) return;
    if (event_count == event_room) {
        size_t room = event_room ? 2 * event_room : 4096;
        void* larger = room > event_limit ? 0 : realloc(events, room * sizeof(Event));
        if (!larger) give_up(trace_full, current, "", 0);
        events = (Event*)larger;
        event_room = room;
    }
    events[event_count++] = {(int64_t)offset, (uint32_t)block, barriers, site, (int32_t)bytes,
                             (uint16_t)current->number, (uint16_t)(r - regions), (uint32_t)how};
}

// ---- a launch -----------------------------------------------------------------------------------
static Region* add_region(uintptr_t base, size_t bytes, size_t item) {
    if (region_count == max_regions || !bytes) return 0;
    Region& r = regions[region_count++];
    r = {};
    r.base = base;
    r.bytes = bytes;
    r.item = item;
    r.granule = item == 1 || item == 2 || item == 8 ? item : item % 4 ? 1 : 4;
    r.cells = (Cell*)calloc((bytes + r.granule - 1) / r.granule, sizeof(Cell));
    if (!r.cells) abort();  // nothing can be checked without memory for it
    return &r;
}

// threadIdx and its like: Clang does not see that they are constant, and checks them.
static void add_built_in(const Index& variable) {
    Region& r = regions[region_count++];
    r = {};
    r.base = (uintptr_t)&variable;
    r.bytes = sizeof variable;
    r.item = 4;
}

static void add_variable(const Variable* v, bool shared) {
    Region* r = add_region((uintptr_t)v->address, v->bytes, v->item);
    if (!r) return;
    r->name = v->name;
    r->rank = v->rank;
    memcpy(r->dims, v->dims, sizeof r->dims);
    r->shared = shared;
}

static void variable_declared(const Variable* variable) { add_variable(variable, true); }

static void block_started(uint64_t number) {
    if (block_count == block_room) {
        block_room = block_room ? 2 * block_room : 256;
        blocks_seen = (BlockRecord*)realloc(blocks_seen, block_room * sizeof *blocks_seen);
        if (!blocks_seen) abort();
    }
    first_of_block = ++moment;
    blocks_seen[block_count++] = {moment, false, number};
    barriers = 0;
    fenced = acquired = false;
    block_start = now();
}

static void barrier_opened() {
    moment++;
    barriers++;
}

// Before emu_launch: forgets the launch before, and takes the settings of this one.
EMU_EXPORT void emu_check_begin(double timeout, unsigned shared_bytes, size_t shared_item,
                                bool with_trace, int64_t block, size_t limit) {
    region_count = finding_count = place_count = loop_count = 0;
    block_count = event_count = 0;
    moment = 0;
    memset(lately, 0, sizeof lately);
    memset(clocks_moment, 0, sizeof clocks_moment);
    suspect.finding = 0;
    patience = timeout;
    step_mask = steps_between - 1;
    tracing = with_trace;
    traced_block = block;
    event_limit = limit;
    observer = {block_started, barrier_opened, warp_synced, variable_declared};
    if (Region* r = add_region((uintptr_t)emu_dynamic_shared, shared_bytes, shared_item))
        r->shared = true;
    const Index* built_in[] = {&threadIdx, &blockIdx, &blockDim, &gridDim};
    for (const Index* each : built_in) add_built_in(*each);
    for (Variable* v = device_variables; v; v = v->next) add_variable(v, false);
    for (Variable* v = shared_variables; v; v = v->next) add_variable(v, true);
}

EMU_EXPORT void emu_check_argument(uintptr_t base, size_t bytes, size_t item) {
    add_region(base, bytes, item);
}

// After it: frees the shadow. Findings and events stay until the next launch.
EMU_EXPORT void emu_check_end() {
    settle_suspect();
    for (int i = 0; i < region_count; i++) free(regions[i].cells);
}

EMU_EXPORT const Finding* emu_findings(int* count) { *count = finding_count; return findings; }
EMU_EXPORT const Region* emu_regions(int* count) { *count = region_count; return regions; }
EMU_EXPORT const Place* emu_places(int* count) { *count = place_count; return places; }
EMU_EXPORT const int* emu_loop(int* count) { *count = loop_count; return loop_sites; }
EMU_EXPORT const char* emu_site_table() { return emu_sites; }
EMU_EXPORT const Event* emu_events(size_t* count) { *count = event_count; return events; }
EMU_EXPORT void emu_free_events() {
    free(events);
    events = 0;
    event_room = event_count = 0;
}

// ---- memory for the arguments -------------------------------------------------------------------
// Arrays are checked in copies that lie far apart, with nothing between them: an access that
// leaves one does not land in the next.
#ifdef _WIN32
EMU_EXPORT void* emu_reserve(size_t bytes) {
    return VirtualAlloc(0, bytes, MEM_RESERVE, PAGE_NOACCESS);
}
EMU_EXPORT int emu_commit(void* start, size_t bytes) {
    return VirtualAlloc(start, bytes, MEM_COMMIT, PAGE_READWRITE) != 0;
}
EMU_EXPORT void emu_release(void* start, size_t) { VirtualFree(start, 0, MEM_RELEASE); }
#else
EMU_EXPORT void* emu_reserve(size_t bytes) {
    void* start = mmap(0, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
    return start == MAP_FAILED ? 0 : start;
}
EMU_EXPORT int emu_commit(void* start, size_t bytes) {
    return !mprotect(start, bytes, PROT_READ | PROT_WRITE);
}
EMU_EXPORT void emu_release(void* start, size_t bytes) { munmap(start, bytes); }
#endif
