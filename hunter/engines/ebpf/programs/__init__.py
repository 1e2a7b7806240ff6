"""The programs at the tracepoints. Pure.

A raw tracepoint's context is an array of the tracepoint's arguments (TP_PROTO, linux's
include/trace/events): sys_enter(regs, id), sys_exit(regs, ret), task_newtask(task, clone_flags),
sched_process_exec(task, old_pid, bprm), sched_process_exit(task), signal_deliver(sig, info, ka),
signal_generate(sig, info, task, group, result).
"""
