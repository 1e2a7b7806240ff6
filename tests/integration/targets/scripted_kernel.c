// The hot loop over a scripted kernel, freestanding: from stdin to records on stdout.
//
// Compiled for a machine that is not there and run by qemu, which has no ptrace(2), it shows that
// the loop does the same with the same stops. stdin: six u64 (bytes of each part, AUDIT_ARCH, ABI),
// then calls, items, stops and memory. A stop is an i32 tid, an i32 wait status and a struct
// ptrace_syscall_info; memory stands at address 0x10000, and nothing is behind it. stderr: three
// i32 for each time the loop returned: why, tid, wait status.
static long scripted(long nr, long a, long b, long c, long d);
#define SYSCALL scripted
#include HOT_LOOP

#if defined(__x86_64__)
enum { NR_read = 0, NR_write = 1, NR_exit_group = 231 };
#else
enum { NR_read = 63, NR_write = 64, NR_exit_group = 94 };
#endif
enum { BASE = 0x10000, HEADS = 64, CAPTURES = 1 << 16, SLOTS = 4, TABLE = 64 };
enum { STOP_SIZE = 8 + sizeof(struct syscall_info), NO_CHILD = -10, IO_ERROR = -5, INVALID = -22 };

static u8 input[1 << 18], heads[HEADS * HEAD_SIZE], captures[CAPTURES];
static struct context context;
static u64 progress[2];
static struct thread threads[SLOTS];
static struct process process;
static u32 table[2 * TABLE];
static const u8 *stops, *memory;
static u64 stops_size, memory_size, next_stop;
static i64 clock_ns;

void *memset(void *to, int value, unsigned long size) {
    for (u64 i = 0; i < size; i++) ((volatile u8 *)to)[i] = (u8)value;
    return to;
}

void *memcpy(void *to, const void *from, unsigned long size) {
    for (u64 i = 0; i < size; i++) ((volatile u8 *)to)[i] = ((const u8 *)from)[i];
    return to;
}

static i32 scripted_clock(i32 which, struct timespec *t) {
    clock_ns += 1000;
    t->seconds = 0;
    t->nanoseconds = clock_ns;
    return which != CLOCK_MONOTONIC;
}

static long scripted(long nr, long a, long b, long c, long d) {
    if (nr == NR_wait4) {
        if (next_stop + STOP_SIZE > stops_size) return NO_CHILD;
        const i32 *stop = (const i32 *)(stops + next_stop);
        *(i32 *)b = stop[1];
        next_stop += STOP_SIZE;
        return stop[0];
    }
    if (nr == NR_pread64) {
        u64 at = (u64)d - BASE;
        if ((u64)d < BASE || at >= memory_size) return IO_ERROR;
        u64 size = (u64)c < memory_size - at ? (u64)c : memory_size - at;
        memcpy((void *)b, memory + at, size);
        return (long)size;
    }
    if (a != PTRACE_GET_SYSCALL_INFO) return 0;
    if ((u64)c != sizeof(struct syscall_info)) return INVALID;
    memcpy((void *)d, stops + next_stop - sizeof(struct syscall_info), (u64)c);
    return c;
}

static void out(int fd, const void *data, u64 size) {
    for (u64 at = 0; at < size;) at += (u64)syscall4(NR_write, fd, (i64)data + (i64)at, (i64)(size - at), 0);
}

__attribute__((used, noreturn)) static void begin(void) {
    u64 size = 0;
    for (i64 got; (got = syscall4(NR_read, 0, (i64)input + (i64)size, (i64)(sizeof input - size), 0)) > 0;)
        size += (u64)got;
    const u64 *parts = (const u64 *)input;
    const u8 *at = input + 48;
    context.calls = (struct call *)at;
    context.call_count = parts[0] / sizeof(struct call);
    context.items = (struct item *)(at += parts[0]);
    stops = at += parts[1];
    stops_size = parts[2];
    memory = at + parts[2];
    memory_size = parts[3];
    context.arch = (u32)parts[4];
    context.abi = (u32)parts[5];
    context.heads = heads;
    context.head_capacity = HEADS;
    context.captures = captures;
    context.capture_capacity = CAPTURES;
    context.table = table;
    context.table_mask = TABLE - 1;
    context.threads = threads;
    context.processes = &process;
    context.process_count = 1;
    process.ordinal = 1;
    context.clock_gettime = scripted_clock;
    context.limit = 32;
    context.progress = progress;
    for (u32 slot = 0; slot < SLOTS; slot++) hot_insert(&context, 100 + slot, slot);
    hot_remove(&context, 103);
    i32 told[3];
    do {
        told[0] = (i32)hot_run(&context);
        told[1] = context.tid;
        told[2] = context.status;
        out(2, told, sizeof told);
    } while (told[0] > 0);
    out(1, heads, hot_take(&context) * HEAD_SIZE);
    out(1, captures, context.captures_written);
    syscall4(NR_exit_group, 0, 0, 0, 0);
    __builtin_unreachable();
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: and $-16, %rsp\ncall begin\n");
#else
__asm__(".globl _start\n_start: bl begin\n");
#endif
