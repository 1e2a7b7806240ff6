// The programs at sys_enter: whether a call is wanted, and what must be read before it runs.

#include "plans.h"
#include "traced.h"

// Chooses the plans of a call by the value of an argument; returns the route at entry.
INLINE u32 select(struct thread *thread, const struct call *call, u32 index, u32 route) {
    const u64 *args = thread->call.args;
    struct selection_key key = {
        .call = index,
        .value = (u32)args[call->selecting_arg & 7] & call->selecting_mask,
    };
    if (call->flags & CALL_SELECTS_AT_ENTRY) {
        const struct selection *selected = bpf_map_lookup_elem(&selections, &key);
        if (selected) {
            thread->entry_plan = selected->plan;
            route = selected->route;
        }
    }
    key.call |= 1 << 16;
    const struct selection *selected = bpf_map_lookup_elem(&selections, &key);
    if (selected) {
        thread->exit_plan = selected->plan;
        thread->exit_route = selected->route;
    }
    return route;
}

INLINE void note_open(struct thread *thread) {
    barrier();  // all the rest is there before
    WRITE_ONCE(thread->open, OPEN);
}

// Notes that a call began, and with which arguments.
PROGRAM(raw_tp, sys_enter) {
    u64 id = bpf_get_current_pid_tgid();
    struct process *process = current_process(id);
    if (!process) return 0;
    u64 number = ctx[1];
    if (SETTING(filtered) && !(calls[number & (TABLE_CALLS - 1)].flags & CALL_MAYBE_WANTED))
        return 0;
    // Where there is no room for the thread its call is counted when it ends.
    struct thread *thread = current_thread(process, id);
    if (!thread) return 0;
    WRITE_ONCE(thread->open, CLOSED);
    thread->call.start = clock();
    u32 index = read_call(&thread->call, ctx[0], &number, false);
    thread->call.nr = number;
    thread->call.kind = KIND_SYSCALL;
    thread->call.process = process->ordinal;
    thread->exit_plan = thread->exit_route = 0;
    thread->entry_plan = thread->entry_length = 0;
    thread->entry_large = 0;
    if (index >= CALLS) {
        // What is beyond a record's 16 bits may not look like a call that has a name.
        if (thread->call.abi != ABI_X32 && number >> 16) thread->call.nr = BIG_NUMBER;
        if (!SETTING(filtered)) note_open(thread);
        return 0;
    }
    const struct call *call = &calls[index];
    if (!(call->flags & CALL_WANTED)) return 0;
    thread->exit_plan = call->exit_plan;
    thread->exit_route = call->exit_route;
    thread->entry_plan = call->entry_plan;
    u32 route = call->entry_route;
    if (call->flags & (CALL_SELECTS_AT_ENTRY | CALL_SELECTS_AT_EXIT))
        route = select(thread, call, index, route);
    note_open(thread);
    if (!thread->entry_plan) return 0;
    if (route == ENTRY_STRINGS)
        bpf_tail_call(ctx, &routes, ENTRY_STRINGS);
    else
        bpf_tail_call(ctx, &routes, ENTRY_SIMPLE);
    return 0;
}

// Goes on at sys_enter where memory must be read before the call.
INLINE int read_entry(u64 *ctx, u32 forms, u32 most) {
    u32 key = bpf_get_current_pid_tgid();
    struct thread *thread = bpf_map_lookup_elem(&threads, &key);
    if (!thread) return 0;
    struct scratch *scratch = empty_scratch();
    if (!scratch) return 0;
    struct reading reading = {thread, scratch, ctx, forms, true};
    read_plan(&reading, thread->entry_plan, most);
    u32 used = scratch->used;
    if (used == 0 || used > ENTRY_SIZE) return 0;
    if (used <= THREAD_CAPTURES_SIZE) {
        thread->entry_length = used;
        bpf_probe_read_kernel(thread->captures, used, (u64)scratch->captures);
        return 0;
    }
    if (bpf_map_update_elem(&entries, &key, scratch->captures, BPF_ANY)) return 0;
    thread->entry_length = used;
    thread->entry_large = 1;
    return 0;
}

PROGRAM(raw_tp, entry_simple) {
    return read_entry(ctx, 1 << SIGSET | 1 << SIGFRAME, MAX_ITEMS);
}

PROGRAM(raw_tp, entry_strings) {
    return read_entry(ctx, 1 << STRINGS, STRINGS_ITEMS);
}
