// The hot loop of the `ptrace` engine: handles syscall stops, leaves every other stop to Python.
//
// Freestanding: no libc, no relocations, no globals; it is loaded from a memfd into whatever Python
// the container has, glibc or musl. hunter/engines/native/layout.py knows the structures by offset.
//
// One producer (this loop, in the tracer's thread) and one consumer (the writer's thread, through
// hot_take and hot_release). Records are dropped and counted when the rings are full.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef int i32;
typedef long i64;

#define EXPORT __attribute__((visibility("default")))

#if defined(__x86_64__)
enum { NR_pread64 = 17, NR_wait4 = 61, NR_ptrace = 101 };
static inline i64 syscall4(i64 nr, i64 a, i64 b, i64 c, i64 d) {
    i64 result;
    register i64 r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
enum { NR_pread64 = 67, NR_ptrace = 117, NR_wait4 = 260 };
static inline i64 syscall4(i64 nr, i64 a, i64 b, i64 c, i64 d) {
    register i64 x8 __asm__("x8") = nr;
    register i64 x0 __asm__("x0") = a;
    register i64 x1 __asm__("x1") = b;
    register i64 x2 __asm__("x2") = c;
    register i64 x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#endif

#ifndef SYSCALL  // a test has a kernel of its own
#define SYSCALL syscall4
#endif

enum { PTRACE_CONT = 7, PTRACE_SYSCALL = 24, PTRACE_GET_SYSCALL_INFO = 0x420e, SYSCALL_STOP = 0x857f };
// __WALL | __WNOTHREAD: each tracer thread waits for its own tracees.
enum { WAIT_OWN = 0x60000000, EINTR = 4, CLOCK_MONOTONIC = 1 };
enum { HEAD_SIZE = 88, SCRATCH = 66560, ENTRY_MAX = 320, CAPTURE_MAX = 0xfffe };
enum { LOST = 9, UNREADABLE = 0xffff };
enum { PATH_MAX = 4096, PATH_FIRST = 256, PAGE = 4096 };
// Forms of hunter/calls/capture_plan.py that are read here; a call with another one is Python's.
enum { PATH, BUF_ARG, BUF_RET, STRUCT, STRING, BYTES_ARG, BYTES_RET, BYTES_PTR, ARRAY_ARG, ARRAY_RET };
// Why hot_run returns.
enum { STOP = 1, ENTRY_FOR_PYTHON = 2, EXIT_FOR_PYTHON = 3, LEAVING = 4, UNKNOWN = 5 };
// Flags of a thread.
enum { FLAG_LEAVING = 1, FLAG_PYTHON = 2, FLAG_ARMING = 4 };
// Flags of a call in the plan.
enum { CALL_UNWANTED = 1, CALL_ENTRY_PYTHON = 2, CALL_EXIT_PYTHON = 4 };

struct timespec { i64 seconds, nanoseconds; };

struct item {  // 8 bytes
    u8 form, arg, length_arg, out;
    u32 size;
};

struct call {  // 8 bytes
    u8 flags, entry_count, exit_count, zero;
    u32 first;  // index of its first item; entry items, then exit items
};

struct thread {  // 448 bytes
    u64 start;  // 0: not in a call. Written last at entry, so that a reader can tell a whole one
    u64 nr;
    u64 args[6];
    u32 tid, process, arch, flags;
    u32 entry_length, zero;
    u64 quiet;  // the last one of which it has met the beginning
    u64 zeros[4];
    u8 entry[ENTRY_MAX];
};

struct process {  // 32 bytes
    u32 ordinal;
    i32 memory;  // descriptor of /proc/PID/mem; -1: Python reads, with ptrace(2)
    u64 lost, dropping, zero;
};

struct syscall_info {  // struct ptrace_syscall_info
    u8 op, pad[3];
    u32 arch;
    u64 instruction_pointer, stack_pointer;
    u64 nr_or_rval;
    u64 args[6];
    u64 more;
};

struct context {
    u8 *heads;       // 0   ring of head_capacity heads
    u64 head_capacity;
    u8 *captures;    // 16  ring of capture_capacity bytes
    u64 capture_capacity;
    u64 heads_written, captures_written;  // 32, 40  by the producer
    u64 heads_taken, captures_taken;      // 48, 56  by the consumer
    struct call *calls;                   // 64
    u64 call_count;                       // 72
    struct item *items;                   // 80
    u32 *table;                           // 88  open addressing: tid, slot + 1
    u64 table_mask;                       // 96
    struct thread *threads;               // 104
    struct process *processes;            // 112
    u64 process_count;                    // 120
    i32 (*clock_gettime)(i32, struct timespec *);  // 128
    u32 arch, abi;                        // 136, 140  of this machine
    u64 limit;                            // 144  string size
    i32 tid, status;                      // 152, 156  of the stop that is returned
    u64 now;                              // 160  when it was seen
    u64 stops;                            // 168  syscall stops handled
    u64 dropping;                         // 176  records are being dropped
    struct syscall_info info;             // 184  of the stop that is returned
    u64 wake;                             // 272  set by another thread: return for signal handlers
    u64 quiet;                            // 280  set by another thread: its number, while calls
                                          //      are to pass unseen; 0 while they are not
    u64 *progress;                        // 288 stops taken, and 1 while the next is waited for
    u64 zero;                             // 296
    u8 scratch[SCRATCH];                  // 304
};

_Static_assert(sizeof(struct thread) == 448, "layout.py: THREAD_SIZE");
_Static_assert(__builtin_offsetof(struct thread, flags) == 76, "layout.py: THREAD_FLAGS");
_Static_assert(__builtin_offsetof(struct thread, quiet) == 88, "layout.py: THREAD_QUIET");
_Static_assert(__builtin_offsetof(struct thread, entry) == 128, "layout.py: ENTRY_DATA");
_Static_assert(sizeof(struct process) == 32, "layout.py: PROCESS_SIZE");
_Static_assert(sizeof(struct syscall_info) == 88, "syscall_info.py: SIZE");
_Static_assert(__builtin_offsetof(struct context, table) == 88, "layout.py: TABLE");
_Static_assert(__builtin_offsetof(struct context, info) == 184, "layout.py: INFO");
_Static_assert(__builtin_offsetof(struct context, wake) == 272, "layout.py: WAKE");
_Static_assert(__builtin_offsetof(struct context, quiet) == 280, "layout.py: QUIET");
_Static_assert(__builtin_offsetof(struct context, progress) == 288, "layout.py: PROGRESS");
_Static_assert(__builtin_offsetof(struct context, scratch) == 304, "layout.py: CONTEXT_SIZE");

static void copy(u8 *to, const u8 *from, u64 size) {
    for (u64 i = 0; i < size; i++) to[i] = from[i];
}

static u64 now(struct context *c) {
    struct timespec t;
    c->clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.seconds * 1000000000ul + (u64)t.nanoseconds;
}

static inline u64 bucket(struct context *c, u32 tid) {
    return (u64)(tid * 2654435761u) & c->table_mask;
}

static struct thread *find(struct context *c, u32 tid) {
    for (u64 at = bucket(c, tid); c->table[2 * at + 1]; at = (at + 1) & c->table_mask)
        if (c->table[2 * at] == tid) return c->threads + (c->table[2 * at + 1] - 1);
    return 0;
}

EXPORT void hot_insert(struct context *c, u32 tid, u32 slot) {
    u64 at = bucket(c, tid);
    while (c->table[2 * at + 1] && c->table[2 * at] != tid) at = (at + 1) & c->table_mask;
    c->table[2 * at] = tid;
    c->table[2 * at + 1] = slot + 1;
}

EXPORT void hot_remove(struct context *c, u32 tid) {
    u64 at = bucket(c, tid);
    for (; c->table[2 * at + 1]; at = (at + 1) & c->table_mask)
        if (c->table[2 * at] == tid) break;
    if (!c->table[2 * at + 1]) return;
    // Shift back what was displaced by this entry, so that there are no tombstones.
    u64 hole = at;
    for (u64 next = (at + 1) & c->table_mask; c->table[2 * next + 1];
         next = (next + 1) & c->table_mask) {
        u64 home = bucket(c, c->table[2 * next]);
        if (((next - home) & c->table_mask) >= ((next - hole) & c->table_mask)) {
            c->table[2 * hole] = c->table[2 * next];
            c->table[2 * hole + 1] = c->table[2 * next + 1];
            hole = next;
        }
    }
    c->table[2 * hole + 1] = 0;
}

static i64 read_memory(i32 memory, u64 address, u8 *to, u64 size) {
    return SYSCALL(NR_pread64, memory, (i64)to, (i64)size, (i64)address);
}

static u8 *header(u8 *at, u32 arg, u32 got, u64 length) {
    at[0] = (u8)arg;
    at[1] = 0;
    *(u16 *)(at + 2) = (u16)got;
    *(u32 *)(at + 4) = length > 0xffffffff ? 0xffffffff : (u32)length;
    return at + 8;
}

// A NUL-terminated string: up to the end of its page first, so that it may end before a hole.
static u8 *read_string(i32 memory, u32 arg, u64 address, u64 most, u8 *at) {
    u8 *bytes = at + 8;
    u64 have = 0;
    u64 step = PAGE - (address & (PAGE - 1));
    if (step > PATH_FIRST) step = PATH_FIRST;
    while (have <= most) {
        if (step > most + 1 - have) step = most + 1 - have;
        i64 got = read_memory(memory, address + have, bytes + have, step);
        if (got <= 0) break;
        for (u64 i = have; i < have + (u64)got; i++)
            if (!bytes[i]) {
                if (i > most) break;
                header(at, arg, (u32)i, i);
                return bytes + i;
            }
        have += (u64)got;
        if ((u64)got < step) break;
        step = PAGE - ((address + have) & (PAGE - 1));
    }
    if (have <= most) return header(at, arg, UNREADABLE, 0);
    header(at, arg, (u32)most, 0xffffffff);
    return bytes + most;
}

static u8 *take(i32 memory, u32 arg, u64 address, i64 size, u64 most, u8 *at, u8 *end) {
    u64 want = size > 0 ? (u64)size : 0;
    u64 length = want;
    if (want > most) want = most;
    if (want > (u64)(end - at) - 8) want = (u64)(end - at) - 8;
    if (want > CAPTURE_MAX) want = CAPTURE_MAX;
    i64 got = 0;
    if (want) {
        got = read_memory(memory, address, at + 8, want);
        if (got <= 0) return header(at, arg, UNREADABLE, length);
    }
    return header(at, arg, (u32)got, length) + got;
}

// How much a call was asked for, which may be more than there is: a length of -1.
static i64 asked(u64 length, u64 more) {
    u64 most = ~0ul >> 1;
    return (i64)(length > most - more ? most : length + more);
}

// Reads items into memory from `at` to `end`; returns the end of what was written.
static u8 *read_items(struct context *c, i32 memory, const struct item *item, u32 count,
                      const u64 *args, i64 rval, u32 entry, u8 *at, u8 *end) {
    u32 failed = rval < 0 && rval > -4096;
    for (; count; count--, item++) {
        if (item->out && failed == (item->out == 1)) continue;
        u64 address = args[item->arg];
        if (!address) continue;
        if (end - at < 16) break;
        u32 arg = item->arg | entry;
        u64 length = args[item->length_arg];
        u64 room = (u64)(end - at) - 8;
        switch (item->form) {
        case PATH:
            at = read_string(memory, arg, address, room - 1 < PATH_MAX ? room - 1 : PATH_MAX, at);
            break;
        case STRING:
            at = read_string(memory, arg, address, room - 1 < c->limit ? room - 1 : c->limit, at);
            break;
        case BUF_ARG:
            at = take(memory, arg, address, asked(length, item->size), c->limit + item->size, at, end);
            break;
        case BUF_RET:
            at = take(memory, arg, address, rval + (i64)item->size, c->limit + item->size, at, end);
            break;
        case STRUCT:
            at = take(memory, arg, address, item->size, item->size, at, end);
            break;
        case BYTES_ARG:
            at = take(memory, arg, address, asked(length, 0), item->size, at, end);
            break;
        case BYTES_RET:
            at = take(memory, arg, address, rval, item->size, at, end);
            break;
        case BYTES_PTR: {
            u32 told;
            if (length && read_memory(memory, length, (u8 *)&told, 4) == 4)
                at = take(memory, arg, address, told, item->size, at, end);
            break;
        }
        case ARRAY_ARG:
            at = take(memory, arg, address, (i64)((length & 0xffffffff) * item->size),
                      c->limit * item->size, at, end);
            break;
        case ARRAY_RET:
            at = take(memory, arg, address, rval * (i64)item->size, c->limit * item->size, at, end);
            break;
        }
    }
    return at;
}

static void push_head(struct context *c, const u8 *head) {
    copy(c->heads + (c->heads_written % c->head_capacity) * HEAD_SIZE, head, HEAD_SIZE);
    __atomic_store_n(&c->heads_written, c->heads_written + 1, __ATOMIC_RELEASE);
}

static void push_captures(struct context *c, const u8 *bytes, u64 size) {
    u64 at = c->captures_written % c->capture_capacity;
    u64 first = c->capture_capacity - at;
    if (first > size) first = size;
    copy(c->captures + at, bytes, first);
    copy(c->captures, bytes + first, size - first);
    c->captures_written += size;
}

static void fill_head(u8 *head, u64 start, u64 duration, i64 rval, const u64 *args, u32 tid,
                      u32 ordinal, u32 nr, u32 kind, u32 abi, u32 length) {
    u64 *words = (u64 *)head;
    words[0] = start;
    words[1] = duration;
    words[2] = (u64)rval;
    for (u32 i = 0; i < 6; i++) words[3 + i] = args[i];
    *(u32 *)(head + 72) = tid;
    *(u32 *)(head + 76) = ordinal;
    *(u16 *)(head + 80) = (u16)nr;
    head[82] = (u8)kind;
    head[83] = (u8)abi;
    *(u32 *)(head + 84) = length;
}

static u64 heads_free(struct context *c) {
    return c->head_capacity - (c->heads_written - __atomic_load_n(&c->heads_taken, __ATOMIC_ACQUIRE));
}

static u64 captures_free(struct context *c) {
    return c->capture_capacity -
           (c->captures_written - __atomic_load_n(&c->captures_taken, __ATOMIC_ACQUIRE));
}

static void note_losses(struct context *c, u64 time) {
    for (u64 i = 0; i < c->process_count; i++) {
        struct process *p = c->processes + i;
        if (!p->dropping) continue;
        u64 args[6] = {p->dropping, 0, 0, 0, 0, 0};
        u8 head[HEAD_SIZE];
        fill_head(head, time, 0, 0, args, 0, p->ordinal, 0, LOST, 0, 0);
        push_head(c, head);
        p->dropping = 0;
    }
    c->dropping = 0;
}

// Appends one record, or drops and counts it. Half of the room must be free again before records
// are taken after a loss, or losses would be noted one by one.
static void put(struct context *c, const u8 *head, const u8 *captures, u64 size, u32 process,
                u64 time) {
    u64 heads = heads_free(c), bytes = captures_free(c);
    u64 reserve = c->process_count + 1;  // heads for the notes of every process
    u32 drop = heads <= reserve || bytes < size;
    if (c->dropping) {
        drop = drop || heads < c->head_capacity / 2 || bytes < c->capture_capacity / 2;
        if (!drop) note_losses(c, time);
    }
    if (drop) {
        c->dropping = 1;
        c->processes[process].lost++;
        c->processes[process].dropping++;
        return;
    }
    push_captures(c, captures, size);
    push_head(c, head);
}

EXPORT void hot_put(struct context *c, const u8 *head, const u8 *captures, u64 size, u32 process,
                    u64 time) {
    put(c, head, captures, size, process, time);
}

EXPORT void hot_flush_losses(struct context *c) {
    if (c->dropping && heads_free(c) > c->process_count) note_losses(c, now(c));
}

// Consumer: what can be taken, whole records only as captures are written before their heads.
EXPORT u64 hot_take(struct context *c) {
    return __atomic_load_n(&c->heads_written, __ATOMIC_ACQUIRE);
}

EXPORT void hot_release(struct context *c, u64 heads, u64 captures) {
    __atomic_store_n(&c->captures_taken, c->captures_taken + captures, __ATOMIC_RELEASE);
    __atomic_store_n(&c->heads_taken, c->heads_taken + heads, __ATOMIC_RELEASE);
}

static const struct call *plan_of(struct context *c, u32 arch, u64 nr) {
    return arch == c->arch && nr < c->call_count ? c->calls + nr : 0;
}

EXPORT i64 hot_run(struct context *c) {
    struct syscall_info info;
    for (;;) {
        // While tracees are busy wait4 never sleeps, and so is never interrupted by a signal.
        if (__atomic_load_n(&c->wake, __ATOMIC_ACQUIRE)) {
            __atomic_store_n(&c->wake, 0, __ATOMIC_RELEASE);
            return -EINTR;
        }
        i32 status = 0;
        __atomic_store_n(c->progress + 1, 1, __ATOMIC_RELAXED);
        i64 tid = SYSCALL(NR_wait4, -1, (i64)&status, WAIT_OWN, 0);
        __atomic_store_n(c->progress + 1, 0, __ATOMIC_RELAXED);
        if (tid < 0) return tid;
        __atomic_store_n(c->progress, *c->progress + 1, __ATOMIC_RELAXED);
        c->tid = (i32)tid;
        c->status = status;
        if (status != SYSCALL_STOP) return STOP;
        u64 time = now(c);
        c->stops++;
        if (SYSCALL(NR_ptrace, PTRACE_GET_SYSCALL_INFO, tid, sizeof info, (i64)&info) < 0)
            continue;  // killed while it was stopped
        struct thread *t = find(c, (u32)tid);
        if (!t || t->flags & FLAG_LEAVING) {
            c->info = info;
            c->now = time;
            return t ? LEAVING : UNKNOWN;
        }
        t->flags &= ~(u32)FLAG_ARMING;  // this stop stands for the one that was asked for
        struct process *p = c->processes + t->process;
        // A call that began before the quiet is still recorded, and so is the first whose entry is
        // seen in it, which may have; then the thread runs free.
        i64 resume = PTRACE_SYSCALL;
        u64 quiet = __atomic_load_n(&c->quiet, __ATOMIC_RELAXED);
        if (quiet && info.op == 1 && t->quiet != quiet) {
            t->quiet = quiet;
        } else if (quiet) {
            resume = PTRACE_CONT;
            if (info.op == 1 || !t->start) goto resume;
        }
        if (info.op == 1) {
            const struct call *call = plan_of(c, info.arch, info.nr_or_rval);
            if (call && call->flags & CALL_UNWANTED) goto resume;
            t->nr = info.nr_or_rval;
            t->arch = info.arch;
            for (u32 i = 0; i < 6; i++) t->args[i] = info.args[i];
            t->entry_length = 0;
            if (!call || call->flags & CALL_ENTRY_PYTHON || (p->memory < 0 && call->entry_count)) {
                c->info = info;
                c->now = time;
                return ENTRY_FOR_PYTHON;  // which sets start, reads, and resumes
            }
            if (call->entry_count)
                t->entry_length = (u32)(read_items(c, p->memory, c->items + call->first,
                                                   call->entry_count, t->args, 0, 0x80, t->entry,
                                                   t->entry + ENTRY_MAX) -
                                        t->entry);
            __atomic_store_n(&t->start, time, __ATOMIC_RELEASE);
        } else if (info.op == 2 && t->start) {
            const struct call *call = plan_of(c, t->arch, t->nr);
            if (!call || t->flags & FLAG_PYTHON || call->flags & CALL_EXIT_PYTHON ||
                (p->memory < 0 && call->exit_count)) {
                c->info = info;
                c->now = time;
                return EXIT_FOR_PYTHON;
            }
            i64 rval = (i64)info.nr_or_rval;
            u8 *at = c->scratch;
            copy(at, t->entry, t->entry_length);
            at += t->entry_length;
            if (call->exit_count)
                at = read_items(c, p->memory, c->items + call->first + call->entry_count,
                                call->exit_count, t->args, rval, 0, at, c->scratch + SCRATCH);
            SYSCALL(NR_ptrace, resume, tid, 0, 0);
            u8 head[HEAD_SIZE];
            u64 size = (u64)(at - c->scratch);
            fill_head(head, t->start, time - t->start, rval, t->args, (u32)tid, p->ordinal,
                      (u32)t->nr, 0, c->abi, (u32)size);
            put(c, head, c->scratch, size, t->process, time);
            __atomic_store_n(&t->start, 0, __ATOMIC_RELEASE);
            continue;
        }
    resume:
        SYSCALL(NR_ptrace, resume, tid, 0, 0);
    }
}
