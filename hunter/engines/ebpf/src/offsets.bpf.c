// The program by which hunter learns where the kernel's task_struct has what (hunter's calibration).

#include "traced.h"

// Of a task that ends: copies it if it is the process named in `calibration`.
PROGRAM(raw_tp, copy_task) {
    u64 id = bpf_get_current_pid_tgid();
    if (calibration.pid != namespace_tid(id)) return 0;
    calibration.pid_tgid = id;
    calibration.time = bpf_ktime_get_ns();
    if (!bpf_probe_read_kernel(calibration.task, TASK_SIZE, ctx[0]))
        WRITE_ONCE(calibration.done, 1);
    return 0;
}
