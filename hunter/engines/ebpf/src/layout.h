// What the programs and hunter both know: numbers, and the values of maps. Generated from this by
// `make native`: hunter/engines/ebpf/layout.py, with the offset of each field.
//
// Everything is aligned to its size. Each structure and each enum has a name.

#ifndef LAYOUT_H
#define LAYOUT_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;

// Of a record; the same as in hg_shared.records.
enum kind {
    KIND_SYSCALL = 0,
    KIND_IN_FLIGHT = 1,
    KIND_SIGNAL = 2,
    KIND_EXITED = 4,
    KIND_THREAD = 5,
    KIND_EXEC = 6,
    KIND_ATTACHED = 7,
    KIND_SENT = 128,  // only hunter sees it: a SIGNAL of which it is not known what becomes of it
};
enum abi { ABI_X86_64 = 0, ABI_AARCH64 = 1, ABI_I386 = 2, ABI_X32 = 3, ABI_ARM = 4 };
enum encoding {
    AT_ENTRY = 0x80,
    UNREADABLE = 0xffff,
    BIG_NUMBER = 0xffff,
    UNKNOWN_LENGTH = 0xffffffff,
};

enum size {
    TABLE_SIZE = 4096,
    PROBES = 4,
    TOMBSTONE = 255,
    SLOTS = 255,
    FOLLOW_SLOTS = 4096,  // where children are followed, and no byte need hold their numbers
    SPARES = 2048,        // slots for children that are not born yet
    COMM_SIZE = 16,
    MAX_THREADS = 4096,
    THREAD_CAPTURES_SIZE = 128,
    ENTRY_SIZE = 8192,  // captures taken at entry that do not fit into a thread: map `entries`
    MAX_ENTRIES = 64,
    ZEROES = 512,
    MAX_PIECE = 4096,  // bytes of one capture
    MAX_USED = 12288,  // no capture begins behind so many bytes of captures
    SMALL_MIN = 40,     // captures of a record of the ring `small`: hunter chooses, from here
    SMALL_MAX = 136,    // to there
    LARGE_CAPTURES = 296,  // captures of a record of the ring `large`; longer ones go to `events`
    TABLE_CALLS = 512,     // calls of one ABI
    CALLS = 2 * TABLE_CALLS,
    MAX_ITEMS = 6,
    STRINGS_ITEMS = 3,  // of a plan that the program `entry_strings` reads
    VECTORS_ITEMS = 3,  // of a plan that the program `exit_vectors` reads
    ENTRIES_ITEMS = 1,  // of a plan that the program `exit_entries` reads
    TASK_SIZE = 8192,   // bytes of a task_struct that are looked at to find pid and exit_code
};

struct record {
    u64 start, duration;
    s64 rval;
    u64 args[6];
    u32 tid, process;
    u16 nr;
    u8 kind, abi;
    u32 captured;  // bytes of captures
};

struct capture {
    u8 arg, hop;
    u16 kept;    // bytes that were captured, UNREADABLE for none
    u32 length;  // bytes that there were, UNKNOWN_LENGTH for more than were captured
};

// A slot of the map `state`.
struct process {
    u32 tgid;  // in the initial PID namespace
    u32 ordinal;
    u64 lost;     // records that found no room
    u64 since;    // when tracing began, ns; 0 while it has not
    u32 creator;  // ordinal of the process that started it
    u32 unused;
    u64 missed;  // children that were not followed
    u8 comm[COMM_SIZE];  // at birth
    u64 unused_too;
};

// The value of the map `state`, shared with hunter by mmap(2). Where children are followed the
// table is not used, but the map `members`, tgid -> slot; else there are 256 slots.
struct state {
    u8 table[TABLE_SIZE + PROBES];  // by hash of a tgid: 0, or the slot of the process, or TOMBSTONE
    u8 unused[4076];
    u64 epoch;     // since when calls are recorded, ns; 0 while they are not
    u32 discovering;  // 1 while some process's number in the initial PID namespace is not known
    u32 crowded;   // 1 once a thread found no room in `threads`
    struct process processes[FOLLOW_SLOTS];
};

enum progress { OPEN = 1, CLOSED = 2 };

// The value of the map `threads`, by tid of the initial PID namespace.
struct thread {
    struct record call;  // so far: start, args, tid, process, nr, abi
    u32 open;            // 0 until the thread has been seen to begin or end a call; then `progress`
    u16 exit_plan, exit_route;
    u64 clone;  // start of a clone whose THREAD record is still to be made
    u16 entry_plan;
    u16 entry_length;  // bytes of captures taken at entry
    u32 entry_large;   // 1: they are in `entries`, not here
    u8 captures[THREAD_CAPTURES_SIZE];
};

// A record is put together in the map `scratch`, one value for each CPU. Numbers that grow are
// volatile: what is read from memory has the same range on every path, which keeps the verifier's
// work small.
struct scratch {
    volatile u32 used;  // bytes of captures so far
    volatile u32 cap;   // bytes of the next capture that are kept
    volatile s64 rval;
    volatile u64 address;
    volatile u32 length;  // true length of the capture
    u8 arg, hop;
    u16 unused;
    volatile u32 work;  // elements to be shown
    volatile u32 first_hop;
    u64 unused_too[3];
    struct record record;
    u8 captures[MAX_USED + 2 * MAX_PIECE];
};

enum call_flag {
    CALL_WANTED = 1,
    CALL_MAYBE_WANTED = 2,
    CALL_SELECTS_AT_ENTRY = 4,
    CALL_SELECTS_AT_EXIT = 8,
};

// In the map `calls`, by ABI (0 native, 1 the 32-bit one) << 9 | number.
struct call {
    u8 flags, selecting_arg;
    u16 entry_plan, exit_plan;
    u8 entry_route, exit_route;
    u32 selecting_mask;
    u32 unused;
};

// Which program reads a plan: index in the map `routes`; 0 at exit, the program at sys_exit.
enum route { ENTRY_SIMPLE = 0, ENTRY_STRINGS = 1, EXIT_VECTORS = 2, EXIT_ENTRIES = 3, ROUTES = 4 };

// How the length of what an argument points to is found, or what else is read.
enum form {
    BY_ARGUMENT = 1, BY_INT_ARGUMENT, BY_RETURN, BY_POINTER, AS_STRING, BY_BITS, BY_PAGES,
    SIGSET, VECTOR, MESSAGE, STRINGS, ENTRIES, SIGFRAME,
};

struct item {
    u8 form, arg, length_arg;
    u8 out;  // 1: only of a call that did not fail, 2: only of one that did
    u32 factor, addend, bound;
};

struct plan {
    u64 unused;
    struct item items[MAX_ITEMS + 1];
};

// Plans that the value of an argument selects: map `selections`.
struct selection_key { u32 call, value; };  // the call's index, | 1 << 16 at exit
struct selection { u16 plan, route; };

// The value of the map `calibration`.
struct calibration {
    u32 pid;   // of the process to look at, in hunter's PID namespace
    u32 done;  // 1 when its task_struct has been copied
    u64 pid_tgid;  // in the initial PID namespace
    u64 time;      // when that was, by the kernel's clock
    u8 task[TASK_SIZE];
};

#endif
