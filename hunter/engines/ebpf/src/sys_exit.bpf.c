// The programs at sys_exit: what a call did and returned becomes a record.

#include "plans.h"
#include "traced.h"

enum { PTRACE_EVENT_CLONE = 3 };

// Puts what was captured at entry in front.
INLINE void copy_entry(struct thread *thread, struct scratch *scratch, u32 key) {
    u64 length = thread->entry_length;
    if (!length) return;
    if (!thread->entry_large) {
        if (length > THREAD_CAPTURES_SIZE) return;
        scratch->used = length;
        bpf_probe_read_kernel(scratch->captures, length, (u64)thread->captures);
        return;
    }
    const u8 *captures = bpf_map_lookup_elem(&entries, &key);
    if (!captures || length > ENTRY_SIZE) return;
    scratch->used = length;
    bpf_probe_read_kernel(scratch->captures, length, (u64)captures);
    bpf_map_delete_elem(&entries, &key);
}

// Puts the record into the ring that its size chooses.
INLINE void put_out(struct process *process, struct scratch *scratch) {
    struct record *record = &scratch->record;
    u64 used = scratch->used;
    record->captured = used;
    if (used <= SETTING(small)) {
        output(&small, process, record, sizeof(*record) + SETTING(small));
    } else if (used <= LARGE_CAPTURES) {
        u64 rest = LARGE_CAPTURES - used;
        if (rest) bpf_probe_read_kernel(scratch->captures + used, rest, (u64)zeroes);
        output(&large, process, record, sizeof(*record) + LARGE_CAPTURES);
    } else if (used <= MAX_USED + MAX_PIECE + sizeof(struct capture)) {
        output(&events, process, record, sizeof(*record) + used);
    }
}

// Makes the record of a call that has returned.
INLINE void finish_call(u64 *ctx, struct process *process, struct thread *thread,
                        struct scratch *scratch, u32 key, u32 forms, u32 most) {
    struct record *record = &scratch->record;
    scratch->rval = ctx[1];
    u64 end = clock();
    __builtin_memcpy(record, &thread->call, sizeof(*record));
    record->duration = end - record->start;
    record->rval = ctx[1];
    // What no capture covers is zero: it is sent with the slot and must compress to nothing.
    __builtin_memset(scratch->captures, 0, SMALL_MIN);
    if (SETTING(small) > SMALL_MIN)
        __builtin_memset(scratch->captures + SMALL_MIN, 0, SMALL_MAX - SMALL_MIN);
    copy_entry(thread, scratch, key);
    struct reading reading = {thread, scratch, ctx, forms, false};
    read_plan(&reading, thread->exit_plan, most);
    put_out(process, scratch);
    WRITE_ONCE(thread->open, CLOSED);
}

// Notes the thread that the current call, which began at some time, made.
INLINE void note_clone(struct process *process, struct thread *thread, s64 rval) {
    u64 start = thread->clone;
    thread->clone = 0;
    if (rval <= 0) return;
    struct event event;
    begin_event(&event, process, KIND_THREAD, thread->call.tid);
    event.record.nr = PTRACE_EVENT_CLONE;
    event.record.start = start;
    event.record.args[0] = rval;
    send_event(&event, process, 0);
}

// Returns since when calls of a process are recorded, 0 while they are not.
//
// A thread that is met meanwhile stays unseen: what it is in when they are is taken over.
INLINE u64 recorded_since(struct process *process) {
    u64 epoch = READ_ONCE(state.epoch), since = READ_ONCE(process->since);
    if (!epoch || !since) return 0;
    return epoch > since ? epoch : since;
}

// Tells whether a call may be one from which the new thread returns too, with 0.
INLINE bool makes_threads(u32 index) {
    if (SETTING(abi) == ABI_AARCH64) return index == 220 || index == 435;
    return index == 56 || index == 57 || index == 58 || index == 435 ||  // clone, fork, vfork, clone3
           index == (TABLE_CALLS | 120) || index == (TABLE_CALLS | 2) ||
           index == (TABLE_CALLS | 190) || index == (TABLE_CALLS | 435);
}

// Makes an open call of the one in which a thread was when its calls began to be recorded; returns
// whether it is recorded.
//
// Its start is that moment, or an earlier one that hunter knows: of a call that was in flight when
// recording paused, in which the thread has slept since.
INLINE bool take_over(u64 *ctx, struct process *process, struct thread *thread, u64 start) {
    u64 number;
    thread->call.start = start;
    u32 index = read_call(&thread->call, ctx[0], &number, true);
    WRITE_ONCE(thread->open, CLOSED);
    if (index >= CALLS) return false;
    if (ctx[1] == 0 && makes_threads(index)) return false;
    thread->call.process = process->ordinal;
    thread->call.kind = KIND_SYSCALL;
    thread->call.nr = index & (TABLE_CALLS - 1);
    const struct call *call = &calls[index];
    if (!(call->flags & CALL_WANTED)) return false;
    if (READ_ONCE(state.crowded)) {
        // A thread for which there was no room may have been in others since.
        count_lost(process);
        return false;
    }
    u32 tid = thread->call.tid;
    u64 *resumed_at = bpf_map_lookup_elem(&resumed, &tid);
    if (resumed_at) thread->call.start = *resumed_at;
    if (!(call->flags & CALL_SELECTS_AT_EXIT)) {
        thread->exit_plan = call->exit_plan;
        thread->exit_route = call->exit_route;
    }
    barrier();
    WRITE_ONCE(thread->open, OPEN);
    return true;
}

PROGRAM(raw_tp, sys_exit) {
    u64 id = bpf_get_current_pid_tgid();
    u32 key = id;
    struct process *process = current_process(id);
    if (!process) return 0;
    struct thread *thread = bpf_map_lookup_elem(&threads, &key);
    if (thread && thread->clone) note_clone(process, thread, ctx[1]);
    if (!thread || !thread->open) {
        u64 start = recorded_since(process);
        if (!start) return 0;
        if (!thread) thread = new_thread(process, id);
        // Without room, only to tell whether the call is one that is recorded: then it is lost.
        if (!thread) thread = (struct thread *)empty_scratch();
        if (!thread || !take_over(ctx, process, thread, start)) return 0;
    }
    if (thread->open != OPEN) return 0;
    if (thread->exit_route == EXIT_ENTRIES) {
        bpf_tail_call(ctx, &routes, EXIT_ENTRIES);
        return 0;
    }
    if (thread->exit_route) {
        bpf_tail_call(ctx, &routes, EXIT_VECTORS);
        return 0;
    }
    struct scratch *scratch = empty_scratch();
    if (scratch) finish_call(ctx, process, thread, scratch, key, 1 << SIGSET, MAX_ITEMS);
    return 0;
}

// Goes on at sys_exit with plans of these forms.
INLINE int read_exit(u64 *ctx, u32 forms, u32 most) {
    u64 id = bpf_get_current_pid_tgid();
    u32 key = id;
    struct process *process = find_process(id >> 32);
    if (!process) return 0;
    struct thread *thread = bpf_map_lookup_elem(&threads, &key);
    if (!thread || thread->open != OPEN) return 0;
    struct scratch *scratch = empty_scratch();
    if (scratch) finish_call(ctx, process, thread, scratch, key, forms, most);
    return 0;
}

PROGRAM(raw_tp, exit_vectors) {
    return read_exit(ctx, 1 << VECTOR | 1 << MESSAGE, VECTORS_ITEMS);
}

PROGRAM(raw_tp, exit_entries) {
    return read_exit(ctx, 1 << ENTRIES, ENTRIES_ITEMS);
}
