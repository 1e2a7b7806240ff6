// The programs at signals: those that a thread takes, and those that it never does.

#include "traced.h"

enum { SIGKILL = 9, SIGINFO_SIZE = 128, KERNEL_SIGINFO_SIZE = 48, SI_KERNEL = 0x80 };
enum { TRACE_SIGNAL_IGNORED = 1 };

// Puts out a signal; info is the kernel's siginfo, or 0 or 1 for one that has none: of a user, of
// the kernel.
INLINE void send_signal(struct process *process, u8 kind, u32 tid, u64 signal, u64 info) {
    struct event event;
    struct capture *capture = (struct capture *)event.captures;
    u8 *siginfo = event.captures + sizeof(*capture);
    begin_event(&event, process, kind, tid);
    event.record.nr = signal;
    event.record.captured = sizeof(*capture) + SIGINFO_SIZE;
    // siginfo_t is 128 bytes, of which the kernel has the first 48.
    __builtin_memset(event.captures, 0, sizeof(event.captures));
    capture->kept = capture->length = SIGINFO_SIZE;
    if (info > 1) {
        bpf_probe_read_kernel(siginfo, KERNEL_SIGINFO_SIZE, info);
    } else {
        *(u32 *)siginfo = signal;
        if (info) *(u32 *)(siginfo + 8) = SI_KERNEL;
    }
    event.record.start = clock();
    send_event(&event, process, sizeof(*capture) + SIGINFO_SIZE);
}

// Of a signal, its siginfo, and what is done about it.
PROGRAM(raw_tp, signal_deliver) {
    u64 id = bpf_get_current_pid_tgid();
    struct process *process = current_process(id);
    if (!process || ctx[0] == SIGKILL) return 0;
    struct thread *thread = current_thread(process, id);
    if (thread)
        send_signal(process, KIND_SIGNAL, thread->call.tid, ctx[0], ctx[1]);
    else
        count_lost(process);
    return 0;
}

// Of a signal, its siginfo, a task, whether it is for the whole process, and the outcome: signals
// that never get as far as signal_deliver.
//
// They are those that are ignored, and fatal ones, in whose place the kernel delivers SIGKILL.
// What becomes of the others is not known yet: hunter keeps them as SENT until it is.
PROGRAM(raw_tp, signal_generate) {
    if (ctx[4] > TRACE_SIGNAL_IGNORED || ctx[0] == SIGKILL) return 0;
    struct { u32 pid, tgid; } task;
    bpf_probe_read_kernel(&task, sizeof(task), ctx[2] + SETTING(pid_offset));
    struct process *process = find_process(task.tgid);
    if (!process) return 0;
    struct thread *thread = bpf_map_lookup_elem(&threads, &task.pid);
    // 0 stands for a thread that no program has seen yet.
    u32 tid = thread ? thread->call.tid : 0;
    u8 kind = ctx[4] == TRACE_SIGNAL_IGNORED ? KIND_SIGNAL : KIND_SENT;
    send_signal(process, kind, tid, ctx[0], ctx[1]);
    return 0;
}
