// The kernel's side of a program: helpers (bpf-helpers(7)), all of kernel 5.8 or older.

#ifndef BPF_H
#define BPF_H

#include "layout.h"

// A program of a type, by the name under which hunter loads it.
#define PROGRAM(type, name) \
    __attribute__((section(#type "/" #name), used)) int name(u64 *ctx)
#define INLINE static inline __attribute__((always_inline))
// A number of hunter's `Settings`, which it writes into the instruction when it links the program:
// the verifier knows it, and takes away what it rules out.
#define SETTING(name) \
    ({ \
        u64 number; \
        __asm__("%0 = settings." #name " ll" : "=r"(number)); \
        number; \
    })
// Kept as it is written: what hunter or another CPU writes or reads meanwhile.
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))
#define barrier() __asm__ volatile("" ::: "memory")
// Hides from the compiler what it knows of a variable, so that a loop or a bound stays as written.
#define opaque(variable) __asm__ volatile("" : "+r"(variable))
#define ROLLED _Pragma("clang loop unroll(disable)")
#define UNROLLED _Pragma("clang loop unroll(full)")

enum { false, true };
typedef _Bool bool;
enum { BPF_ANY = 0, BPF_RB_NO_WAKEUP = 1 };

struct map;
struct bpf_pidns_info { u32 pid, tgid; };

static void *(*const bpf_map_lookup_elem)(const struct map *, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(const struct map *, const void *key, const void *value,
                                         u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(const struct map *, const void *key) = (void *)3;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_tail_call)(void *ctx, const struct map *, u64 index) = (void *)12;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*const bpf_get_current_comm)(void *to, u64 size) = (void *)16;
static u64 (*const bpf_get_current_task)(void) = (void *)35;
static long (*const bpf_map_pop_elem)(const struct map *, void *value) = (void *)88;
static long (*const bpf_probe_read_user)(void *to, u64 size, u64 from) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *to, u64 size, u64 from) = (void *)113;
static long (*const bpf_probe_read_user_str)(void *to, u64 size, u64 from) = (void *)114;
static long (*const bpf_get_ns_current_pid_tgid)(u64 device, u64 inode, struct bpf_pidns_info *,
                                                 u64 size) = (void *)120;
static long (*const bpf_ringbuf_output)(const struct map *, const void *, u64 size,
                                        u64 flags) = (void *)130;

// Maps, by descriptor. Those without which a program can do need not be there: see `Program`.
extern const struct map threads, resumed, entries, scratches, plans, selections, members,
    spares, pid_discovery, routes, small, large, events;
// Values of maps that have one; hunter's loader knows them by name.
extern struct state state;
extern const struct call calls[CALLS];
extern const u8 zeroes[ZEROES];
extern struct calibration calibration;

#endif
