// The sanitizer's memory: what each element of an array has seen, and what follows from it.
//
// Known memory (a launch's arrays, shared variables) is cut into regions; each element has a cell
// of shadow that keeps who wrote it last and who has read it since.
//
// Two accesses of different threads race if one of them writes, not both are atomic, and nothing
// orders them. What orders them:
//   - __syncthreads(), for threads of a block. `moment` counts barriers and blocks, so accesses
//     of a block are ordered if their moments differ.
//   - __syncwarp(), for the lanes that take part. Each lane has a vector clock (Fidge 1988, Mattern
//     1988): the newest clock of each other lane that it has heard of.
//   - For threads of different blocks nothing, but __threadfence() and an atomic operation in both.
// So a race is found whatever the order in which the emulator happens to run the threads.
#pragma once
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

enum Access { reading, writing, updating };  // updating: an atomic operation
enum Kind { race, uninitialised, outside, misaligned, bad_index };

// ---- what Python reads --------------------------------------------------------------------------
struct Finding {
    int kind, how, other_how;
    int site, other_site;          // distance from emu_sites, or negative: see named_site
    int thread, other_thread;
    int region, bytes;             // region -1: no known memory is near
    int same_value, other_unwritten;
    Index block, other_block;
    int64_t offset;                // in bytes from the region's start; bad_index: the index
    uint64_t count;                // how often it was seen
    const char* type;              // bad_index: the array's type
};

struct Event {
    int64_t offset;
    uint32_t block, barrier;
    int32_t site, bytes;
    uint16_t thread, region;
    uint32_t how;
};

struct Place { const char* file; int line; };

// ---- known memory and its shadow ----------------------------------------------------------------
struct Stamp {
    uint32_t moment;               // 0: never
    uint32_t who;                  // thread: 10 bits; atomic: 1; the lane's clock: 21
    int32_t site;
};
struct Cell { Stamp write, readers[2]; };

struct Region {
    uintptr_t base;
    size_t bytes, item, granule;   // one cell of shadow per granule
    const char* name;              // null: an argument, or dynamic shared memory
    int rank, dims[4];
    bool shared;
    Cell* cells;                   // null: not checked
};
enum { max_regions = 1000, max_findings = 200, max_places = 200 };
static Region regions[max_regions];
static int region_count;
static Region* lately[256];        // the region that a site touched last

static Finding findings[max_findings];
static int finding_count;
static Place places[max_places];
static int place_count;
static Variable* device_variables;

// ---- time ---------------------------------------------------------------------------------------
struct BlockRecord { uint32_t first_moment; bool published; uint64_t block; };
static BlockRecord* blocks_seen;
static size_t block_count, block_room;
static uint32_t moment, first_of_block, barriers;
static uint32_t clocks[32][32][32];          // [warp][lane][other lane]
static uint32_t clocks_moment[32];           // clocks count from the last barrier: reset lazily
static bool fenced, acquired;                // in this block: a __threadfence(), then an atomic

static uint32_t own_clock(int thread) {
    int warp = thread / 32, lane = thread % 32;
    return clocks_moment[warp] == moment ? clocks[warp][lane][lane] : 1;
}

static void warp_synced(int warp, unsigned lanes) {
    uint32_t(*clock)[32] = clocks[warp];
    if (clocks_moment[warp] != moment) {
        memset(clock, 0, sizeof clocks[warp]);
        for (int lane = 0; lane < 32; lane++) clock[lane][lane] = 1;
        clocks_moment[warp] = moment;
    }
    uint32_t joined[32] = {};
    for (int lane = 0; lane < 32; lane++)
        for (int other = 0; other < 32 && lanes >> lane & 1; other++)
            if (clock[lane][other] > joined[other]) joined[other] = clock[lane][other];
    for (int lane = 0; lane < 32; lane++) {
        if (!(lanes >> lane & 1)) continue;
        memcpy(clock[lane], joined, sizeof joined);
        clock[lane][lane]++;
    }
}

static const BlockRecord* block_of(uint32_t when) {
    size_t low = 0, high = block_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(blocks_seen[middle].first_moment <= when ? &low : &high) = middle;
    }
    return &blocks_seen[low];
}

// Whether nothing orders a stamped access before the current thread's next one.
static bool unordered(const Stamp& stamp, bool shared) {
    if (!stamp.moment) return false;
    if (stamp.moment < first_of_block)
        return !shared && !(acquired && block_of(stamp.moment)->published);
    if (stamp.moment < moment) return false;
    int thread = stamp.who & 1023, me = current->number;
    if (thread == me) return false;
    if (thread / 32 != me / 32 || clocks_moment[me / 32] != moment) return true;
    return clocks[me / 32][me % 32][thread % 32] < stamp.who >> 11;
}

// ---- findings -----------------------------------------------------------------------------------
static Index index_of_block(uint64_t block) {
    return {(unsigned)(block % gridDim.x), (unsigned)(block / gridDim.x % gridDim.y),
            (unsigned)(block / gridDim.x / gridDim.y)};
}

// A new finding, or null if the same was found before (then that one is counted).
static Finding* add_finding(Kind kind, int site, int other_site, int region) {
    for (int i = 0; i < finding_count; i++) {
        Finding& f = findings[i];
        if (f.kind != kind || f.site != site || f.other_site != other_site || f.region != region)
            continue;
        f.count++;
        return 0;
    }
    if (finding_count == max_findings) return 0;
    Finding& f = findings[finding_count++];
    f = {};
    f.kind = kind;
    f.site = site;
    f.other_site = other_site;
    f.region = region;
    f.thread = current->number;
    f.block = blockIdx;
    f.count = 1;
    return &f;
}

// Whether a race of two writes changed anything is seen after the write: at the next access.
static struct { Finding* finding; const void* address; size_t bytes; char before[16]; } suspect;

static void settle_suspect() {
    if (suspect.finding)
        suspect.finding->same_value = !memcmp(suspect.address, suspect.before, suspect.bytes);
    suspect.finding = 0;
}

static void report_race(const Region& r, size_t offset, size_t bytes, Access how, int site,
                        const Stamp& other, Access other_how, bool other_unwritten) {
    Finding* f = add_finding(race, site, other.site, (int)(&r - regions));
    if (!f) return;
    f->how = how;
    f->other_how = other_how;
    f->offset = (int64_t)offset;
    f->bytes = (int)bytes;
    f->other_thread = other.who & 1023;
    f->other_block = index_of_block(block_of(other.moment)->block);
    f->other_unwritten = other_unwritten;
    if (how == writing && other_how == writing && bytes <= sizeof suspect.before) {
        suspect = {f, (void*)(r.base + offset), bytes, {}};
        memcpy(suspect.before, suspect.address, bytes);
    }
}

// ---- one access ---------------------------------------------------------------------------------
// Keeps two readers, chosen so that a later write that races with any reader races with one of
// them: the newest readers that are not ordered with each other, of different warps if there are.
static void note_reader(Cell& cell, const Stamp& me, bool shared) {
    Stamp *a = &cell.readers[0], *b = &cell.readers[1];
    for (Stamp* slot = a; slot <= b; slot++) {
        bool of_block = slot->moment >= first_of_block;
        bool stale = of_block ? slot->moment < moment : shared || !slot->moment;
        bool mine = of_block && !((slot->who ^ me.who) & 1023);
        if (!stale && !mine) continue;
        *slot = me;
        return;
    }
    if (a->moment != moment || b->moment != moment) return;
    int warp_a = (a->who & 1023) / 32, warp_b = (b->who & 1023) / 32;
    if (warp_a != warp_b) return;
    if ((int)(me.who & 1023) / 32 == warp_a) *a = *b;
    *b = me;
}

static void check_cell(Cell& cell, const Region& r, size_t offset, size_t bytes, Access how,
                       const Stamp& me) {
    bool was_atomic = cell.write.who >> 10 & 1;
    bool unwritten = r.shared && cell.write.moment < first_of_block;
    if (!unwritten && unordered(cell.write, r.shared) && !(how == updating && was_atomic))
        report_race(r, offset, bytes, how, me.site, cell.write, was_atomic ? updating : writing,
                    false);
    if (unwritten && how != writing) {
        Finding* f = add_finding(uninitialised, me.site, 0, (int)(&r - regions));
        if (f) { f->offset = (int64_t)offset; f->bytes = (int)bytes; f->how = how; }
    }
    if (how == reading) return note_reader(cell, me, r.shared);
    for (const Stamp& reader : cell.readers)
        if (unordered(reader, r.shared))
            report_race(r, offset, bytes, how, me.site, reader, reading, unwritten);
    cell.write = me;
    cell.readers[0].moment = cell.readers[1].moment = 0;
}

static Region* region_at(uintptr_t address, int site) {
    Region*& guess = lately[(unsigned)site >> 2 & 255];
    if (guess && address - guess->base < guess->bytes) return guess;
    for (int i = region_count - 1; i >= 0; i--)
        if (address - regions[i].base < regions[i].bytes) return guess = &regions[i];
    return 0;
}

static bool on_own_stack(uintptr_t address) {
    char here;
    uintptr_t first = (uintptr_t)stacks, mine = (uintptr_t)&here - first;
    return address - first < max_threads * stack_stride &&
           (address - first) / stack_stride == mine / stack_stride;
}

[[noreturn]] static void fail_outside(uintptr_t address, size_t bytes, Access how, int site) {
    int nearest = -1;
    uintptr_t least = (uintptr_t)32 << 20;  // farther away it is nobody's neighbour
    for (int i = 0; i < region_count; i++) {
        if (!regions[i].cells) continue;
        uintptr_t below = regions[i].base - address, above = -below - regions[i].bytes;
        uintptr_t distance = address < regions[i].base ? below : above;
        if (address - regions[i].base < regions[i].bytes) distance = 0;
        if (distance < least) { least = distance; nearest = i; }
    }
    if (Finding* f = add_finding(outside, site, 0, nearest)) {
        f->how = how;
        f->bytes = (int)bytes;
        f->offset = (int64_t)(address - (nearest < 0 ? 0 : regions[nearest].base));
    }
    give_up(out_of_bounds, current, "", 0);
}

static void fail_misaligned(const Region* r, size_t offset, size_t bytes, Access how, int site) {
    if (Finding* f = add_finding(misaligned, site, 0, (int)(r - regions))) {
        f->how = how;
        f->bytes = (int)bytes;
        f->offset = (int64_t)offset;
    }
    give_up(out_of_bounds, current, "", 0);
}

static void note_event(const Region* r, size_t offset, size_t bytes, Access how, int site);

static void access(const volatile void* pointer, size_t bytes, Access how, int site, bool aligned) {
    if (!current || !bytes) return;
    settle_suspect();
    uintptr_t address = (uintptr_t)pointer;
    Region* r = region_at(address, site);
    if (!r && on_own_stack(address)) return;
    if (r && !r->cells) return;
    if (!r || bytes > r->bytes - (address - r->base)) fail_outside(address, bytes, how, site);
    size_t offset = address - r->base;
    if (aligned && address % bytes) fail_misaligned(r, offset, bytes, how, site);
    note_event(r, offset, bytes, how, site);
    int number = current->number;
    Stamp me = {moment, (uint32_t)number | (how == updating) << 10 | own_clock(number) << 11, site};
    size_t last = (offset + bytes - 1) / r->granule;
    for (size_t i = offset / r->granule; i <= last; i++)
        check_cell(r->cells[i], *r, offset, bytes, how, me);
}
