// The programs at the births, execs and ends of tasks.

#include "traced.h"

enum { CLONE_THREAD = 0x10000 };

// Begins to trace a new process, which has not run yet.
INLINE void follow(struct process *creator, u64 task) {
    struct { u32 pid, tgid; } child;
    u32 slot;
    if (bpf_map_pop_elem(&spares, &slot)) {
        __atomic_fetch_add(&creator->missed, 1, __ATOMIC_RELAXED);
        return;
    }
    bpf_probe_read_kernel(&child, sizeof(child), task + SETTING(pid_offset));
    struct process *process = process_at(slot);
    process->creator = creator->ordinal;
    process->since = clock();
    bpf_get_current_comm(process->comm, COMM_SIZE);
    WRITE_ONCE(process->tgid, child.tgid);
    bpf_map_update_elem(&members, &child.tgid, &slot, BPF_ANY);
}

// Of a task and the flags of clone(2): notes when a thread makes another.
PROGRAM(raw_tp, task_newtask) {
    u64 id = bpf_get_current_pid_tgid();
    struct process *process = current_process(id);
    if (!process) return 0;
    if (!(ctx[1] & CLONE_THREAD)) {
        if (SETTING(follow)) follow(process, ctx[0]);
        return 0;
    }
    struct thread *thread = current_thread(process, id);
    if (thread)
        thread->clone = clock();
    else
        count_lost(process);
    return 0;
}

// Of a task, its former pid, and a struct linux_binprm.
PROGRAM(raw_tp, sched_process_exec) {
    u64 id = bpf_get_current_pid_tgid();
    u32 key = id, former_key = ctx[1], former;
    struct process *process = current_process(id);
    if (!process) return 0;
    struct thread *thread = 0;
    if (former_key != key) thread = bpf_map_lookup_elem(&threads, &former_key);
    if (thread) {
        // The thread goes on under the leader's tid: its open call moves there.
        former = thread->call.tid;
        thread->call.tid = namespace_tid(id);
        bpf_map_update_elem(&threads, &key, thread, BPF_ANY);
        bpf_map_delete_elem(&threads, &former_key);
    } else {
        thread = current_thread(process, id);
        if (!thread) {
            count_lost(process);
            return 0;
        }
        former = thread->call.tid;
    }
    struct event event;
    begin_event(&event, process, KIND_EXEC, namespace_tid(id));
    event.record.args[0] = former;
    event.record.captured = COMM_SIZE;
    bpf_get_current_comm(event.captures, COMM_SIZE);
    event.record.start = clock();
    send_event(&event, process, COMM_SIZE);
    return 0;
}

// Puts out the call in which a thread ends.
INLINE void send_open_call(struct process *process, struct thread *thread) {
    struct event event;
    u32 length = thread->entry_length;
    event.record = thread->call;
    event.record.duration = clock() - event.record.start;
    event.record.rval = 0;
    event.record.kind = KIND_IN_FLIGHT;
    event.record.captured = 0;
    if (length == 0 || length > THREAD_CAPTURES_SIZE || thread->entry_large) {
        send_event(&event, process, 0);
        return;
    }
    event.record.captured = length;
    __builtin_memcpy(event.captures, thread->captures, THREAD_CAPTURES_SIZE);
    send_event(&event, process, THREAD_CAPTURES_SIZE);
}

// Of a task: the end of a thread, and of its open call.
PROGRAM(raw_tp, sched_process_exit) {
    u64 id = bpf_get_current_pid_tgid();
    u32 key = id, tid;
    struct process *process = current_process(id);
    if (!process) return 0;
    struct thread *thread = bpf_map_lookup_elem(&threads, &key);
    if (thread) {
        tid = thread->call.tid;
        if (thread->open == OPEN) send_open_call(process, thread);
        bpf_map_delete_elem(&threads, &key);
        bpf_map_delete_elem(&entries, &key);
    } else {
        tid = namespace_tid(id);
    }
    struct event event;
    begin_event(&event, process, KIND_EXITED, tid);
    if (SETTING(exit_code_offset))
        bpf_probe_read_kernel(&event.record.rval, 4, ctx[0] + SETTING(exit_code_offset));
    event.record.start = clock();
    send_event(&event, process, 0);
    return 0;
}
