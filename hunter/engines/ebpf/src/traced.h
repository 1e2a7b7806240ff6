// What all programs share: is this process traced, its thread, putting a record out.

#ifndef TRACED_H
#define TRACED_H

#include "bpf.h"

// A record that is made on the stack.
struct event {
    struct record record;
    u8 captures[SMALL_MAX];
};

INLINE u64 clock(void) {
    return bpf_ktime_get_ns() + SETTING(clock_offset);
}

// Returns the process of a slot, NULL for 0.
INLINE struct process *process_at(u32 slot) {
    if (SETTING(follow)) return &state.processes[slot & (FOLLOW_SLOTS - 1)];
    slot &= 255;
    return slot ? &state.processes[slot] : 0;
}

// Returns the process of a tgid of the initial PID namespace, NULL when it is not traced.
INLINE struct process *find_process(u32 tgid) {
    if (SETTING(follow)) {
        // A hash map costs others more than the table, but two CPUs may enter children at once.
        u32 key = tgid, *slot = bpf_map_lookup_elem(&members, &key);
        return slot ? process_at(*slot) : 0;
    }
    u8 *place = &state.table[tgid & (TABLE_SIZE - 1)];
    UNROLLED for (u32 probe = 0; probe < PROBES; probe++) {
        struct process *process = process_at(READ_ONCE(place[probe]));
        if (!process) return 0;
        if (READ_ONCE(process->tgid) == tgid) return process;
    }
    return 0;
}

// Returns the current process if hunter waits to learn its number in the initial PID namespace.
//
// The number is noted where the programs look for it. It stays in `pid_discovery` until hunter has
// seen it there: another CPU may note another in the same place.
INLINE struct process *discover_pid(u32 tgid) {
    struct bpf_pidns_info own;
    if (!READ_ONCE(state.discovering)) return 0;
    if (bpf_get_ns_current_pid_tgid(SETTING(pid_ns_device), SETTING(pid_ns_inode), &own,
                                    sizeof(own)))
        return 0;
    u32 *found = bpf_map_lookup_elem(&pid_discovery, &own.tgid);
    if (!found) return 0;
    u32 slot = *found;
    struct process *process = process_at(slot);
    if (!process) return 0;
    WRITE_ONCE(process->tgid, tgid);
    if (SETTING(follow)) {
        u32 key = tgid;
        bpf_map_update_elem(&members, &key, &slot, BPF_ANY);
        return process;
    }
    u8 *place = &state.table[tgid & (TABLE_SIZE - 1)];
    UNROLLED for (u32 probe = 0; probe < PROBES; probe++) {
        u8 taken = READ_ONCE(place[probe]);
        if (taken == 0 || taken == TOMBSTONE) {
            WRITE_ONCE(place[probe], slot);
            return process;
        }
    }
    return 0;  // hunter finds that it has a number and no place
}

// Returns the process of a pid_tgid, which is the current one; NULL when it is not traced.
//
// One that is not traced pays for this and nothing else, but while hunter waits to learn how the
// kernel numbers one.
INLINE struct process *current_process(u64 id) {
    struct process *process = find_process(id >> 32);
    if (!process && !SETTING(pid_ns_initial)) process = discover_pid(id >> 32);
    return process;
}

// Returns the current tid in hunter's PID namespace.
INLINE u32 namespace_tid(u64 id) {
    struct bpf_pidns_info own;
    if (SETTING(pid_ns_initial)) return id;
    if (bpf_get_ns_current_pid_tgid(SETTING(pid_ns_device), SETTING(pid_ns_inode), &own,
                                    sizeof(own)))
        return id;
    return own.pid;
}

// Counts a record that found no room.
INLINE void count_lost(struct process *process) {
    // Relaxed: what else an atomic addition returns came with kernel 5.12.
    __atomic_fetch_add(&process->lost, 1, __ATOMIC_RELAXED);
}

// Copies a record into a ring, or counts it as lost.
INLINE void output(const struct map *ring, struct process *process, const void *record, u64 size) {
    if (bpf_ringbuf_output(ring, record, size, BPF_RB_NO_WAKEUP)) count_lost(process);
}

// Begins a record on the stack; its time is left at 0.
INLINE void begin_event(struct event *event, struct process *process, u8 kind, u32 tid) {
    __builtin_memset(&event->record, 0, sizeof(event->record));
    event->record.tid = tid;
    event->record.process = process->ordinal;
    event->record.kind = kind;
    event->record.abi = SETTING(abi);
}

// Puts the record on the stack out, with so many bytes of captures.
INLINE void send_event(const struct event *event, struct process *process, u32 captures) {
    output(&events, process, event, sizeof(struct record) + captures);
}

// Makes the entry of a thread that has none, NULL when there is no room; announces it.
INLINE struct thread *new_thread(struct process *process, u64 id) {
    u32 key = id, tid = namespace_tid(id);
    struct thread *thread = 0;
    if (!bpf_map_update_elem(&threads, &key, zeroes, BPF_ANY)) {
        struct event event;
        begin_event(&event, process, KIND_ATTACHED, tid);
        event.record.start = clock();
        send_event(&event, process, 0);
        thread = bpf_map_lookup_elem(&threads, &key);
    }
    if (!thread) {
        WRITE_ONCE(state.crowded, 1);
        return 0;
    }
    thread->call.tid = tid;
    thread->call.process = process->ordinal;
    return thread;
}

// Returns the current thread's entry, made where it has none; NULL when there is no room.
INLINE struct thread *current_thread(struct process *process, u64 id) {
    u32 key = id;
    struct thread *thread = bpf_map_lookup_elem(&threads, &key);
    return thread ? thread : new_thread(process, id);
}

// Returns this CPU's scratch value with nothing in it.
INLINE struct scratch *empty_scratch(void) {
    u32 zero = 0;
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);
    if (scratch) {
        scratch->used = 0;
        scratch->cap = 0;
        scratch->rval = 0;
    }
    return scratch;
}

#endif
