/* Processes: their beginning, their end, what they may and what they are. */
#include "workload.h"
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <sys/utsname.h>

/* Not in sched.h without what clashes with linux/sched.h. */
#define SCHED_FIFO_ 1

static char buffer[8192];

static void forks(void) {
    int status;
    struct rusage usage;
    SYS(wait4, child_that_exits(0), &status, 0, NULL);
    SYS(wait4, child_that_exits(7), &status, 0, &usage);
    SYS(wait4, -1, &status, WNOHANG, NULL);
    SYS(wait4, 1, &status, WNOHANG | WUNTRACED | WCONTINUED, NULL);
    SYS(wait4, -1, NULL, __WALL | __WCLONE | 0x100, NULL);
    int pid = fork();
    if (pid == 0) SYS(kill, getpid(), SIGKILL);
    SYS(wait4, pid, &status, 0, NULL);
    pid = vfork();
    if (pid == 0) _exit(3);
    SYS(wait4, 0, &status, 0, NULL);
    pid = SYS(clone, SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0) SYS(exit, 4);
    SYS(wait4, pid, &status, 0, NULL);
    pid = SYS(fork);
    if (pid == 0) SYS(exit_group, 5);
    siginfo_t si;
    SYS(waitid, P_PID, pid, &si, WEXITED | WNOWAIT, NULL);
    SYS(waitid, P_PID, pid, &si, WEXITED, &usage);
    SYS(waitid, P_ALL, 0, &si, WEXITED | WNOHANG, NULL);
    SYS(waitid, 77, 0, NULL, WSTOPPED | WCONTINUED, NULL);
}

static void stopped_child(void) {
    int status;
    int ends[2];
    pipe(ends);
    int pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(read(ends[0], buffer, 1));
    }
    SYS(wait4, pid, &status, WUNTRACED, NULL);
    SYS(kill, pid, SIGCONT);
    SYS(wait4, pid, &status, WCONTINUED, NULL);
    deliver_child_signals();
    SYS(write, ends[1], "x", 1);
    SYS(wait4, pid, &status, 0, NULL);
    pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        abort();
    }
    SYS(wait4, pid, &status, 0, NULL);
}

static void clone3s(void) {
    int status;
    struct clone_args args = {.exit_signal = SIGCHLD};
    int pid = SYS(clone3, &args, sizeof args);
    if (pid == 0) SYS(exit_group, 0);
    SYS(wait4, pid, &status, 0, NULL);
    int fd = -1;
    args = (struct clone_args){.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | 0x100000000,
                               .pidfd = (uintptr_t)&fd,
                               .parent_tid = (uintptr_t)&status,
                               .exit_signal = SIGCHLD};
    pid = SYS(clone3, &args, 64);
    if (pid == 0) SYS(exit_group, 0);
    SYS(wait4, pid, &status, 0, NULL);
    SYS(clone3, NULL, sizeof args);
    SYS(clone3, BAD, sizeof args);
    SYS(clone3, &args, 8);
    args = (struct clone_args){.flags = 0x8000000000000000, .exit_signal = 99, .stack = 4096};
    SYS(clone3, &args, sizeof args);
    SYS(clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, 0L, 0L, 0L, 0L);
    SYS(clone, CLONE_SIGHAND, 0L, 0L, 0L, 0L);
    pid = SYS(clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, 0L,
              &status, &status, 0L);
    if (pid == 0) SYS(exit_group, 0);
    SYS(wait4, pid, &fd, 0, NULL);
}

static void exec_again(void) {
    char *argv[] = {self, "nothing", "-", "one argument", 0};
    char *envp[] = {"A=1", "PATH=/bin", 0};
    SYS(execve, self, argv, envp);
}

static void exec_errors(void) {
    char *argv[] = {"x", "an argument that is longer than thirty-two bytes", "\033[1m", 0};
    char *envp[] = {"A=1", 0};
    char *none[] = {0};
    close(file_with("plain", "text"));
    close(file_with("script", "#!/nowhere/interpreter\n"));
    chmod("script", 0755);
    SYS(execve, "/nowhere", argv, envp);
    SYS(execve, "plain", argv, none);
    SYS(execve, "script", argv, envp);
    SYS(execve, ".", argv, envp);
    SYS(execve, NULL, argv, envp);
    SYS(execve, BAD, argv, envp);
    SYS(execve, "plain", BAD, envp);
    SYS(execve, "plain", NULL, NULL);
    SYS(execve, "plain", argv, BAD);
    SYS(execveat, AT_FDCWD, "plain", argv, envp, AT_SYMLINK_NOFOLLOW);
    SYS(execveat, 99, "", argv, envp, AT_EMPTY_PATH);
    static char *many[64];
    for (int i = 0; i < 40; i++) many[i] = "a";
    SYS(execve, "plain", many, many);
}

static void nothing(void) {}

static void exit_codes(void) {
    SYS(exit_group, 300);
}

static void identities(void) {
    unsigned a, b, c;
    static gid_t groups[64] = {1, 2, 65534, 0};
    SYS(getuid);
    SYS(geteuid);
    SYS(getgid);
    SYS(getegid);
    SYS(getresuid, &a, &b, &c);
    SYS(getresgid, &a, NULL, &c);
    SYS(setgroups, 4, groups);
    SYS(getgroups, 0, NULL);
    SYS(getgroups, 10, groups);
    SYS(setgroups, 0, NULL);
    SYS(setgroups, 2, BAD);
    SYS(setgroups, -1, groups);
    SYS(setregid, -1, 12);
    SYS(setresgid, 12, 13, -1);
    SYS(setfsgid, 14);
    SYS(setgid, 15);
    SYS(setreuid, -1, -1);
    SYS(setfsuid, 1000);
    SYS(setresuid, 1000, 1001, 1002);
    SYS(setuid, 0);
    SYS(setuid, -1);
    SYS(setgid, 0);
    SYS(getsid, 0);
    SYS(getsid, 1 << 30);
    SYS(getpgid, 1 << 30);
    SYS(setpgid, 1 << 30, 0);
    SYS(getpriority, PRIO_PROCESS, 0);
    SYS(setpriority, PRIO_PROCESS, 0, 5);
    SYS(setpriority, PRIO_PGRP, 1 << 30, -5);
    SYS(getpriority, 7, 0);
}

static void session_and_groups(void) {
    SYS(getpid);
    SYS(gettid);
    SYS(getpgrp);
    SYS(setsid);
    SYS(setsid);
    SYS(setpgid, 0, 0);
    SYS(getpgid, 0);
    SYS(set_tid_address, buffer);
    void *head;
    size_t length;
    SYS(get_robust_list, 0, &head, &length);
    SYS(set_robust_list, buffer, 24L);
    SYS(set_robust_list, buffer, 7L);
    SYS(get_robust_list, 1 << 30, &head, &length);
    SYS(sched_yield);
    SYS(getcpu, NULL, NULL, NULL);
    SYS(getppid);
}

static void limits(void) {
    struct rlimit limit;
    struct rusage usage;
    struct tms times_;
    for (int i = 0; i < 17; i++) SYS(getrlimit, i, &limit);
    limit = (struct rlimit){1024, 2048};
    SYS(setrlimit, RLIMIT_NOFILE, &limit);
    limit = (struct rlimit){1025, RLIM_INFINITY};
    SYS(prlimit64, 0, RLIMIT_CORE, &limit, NULL);
    limit = (struct rlimit){3000, 2000};
    SYS(prlimit64, 0, RLIMIT_CPU, &limit, &limit);
    SYS(prlimit64, 0, RLIMIT_STACK, NULL, &limit);
    SYS(prlimit64, 1 << 30, RLIMIT_AS, NULL, &limit);
    SYS(getrlimit, 3, NULL);
    SYS(setrlimit, 3, BAD);
    SYS(getrusage, RUSAGE_SELF, &usage);
    SYS(getrusage, RUSAGE_CHILDREN, &usage);
    SYS(getrusage, RUSAGE_THREAD, &usage);
    SYS(getrusage, 77, &usage);
    SYS(times, &times_);
    SYS(times, NULL);
}

static void scheduling(void) {
    struct { int priority; } param = {10};
    unsigned long cpus[16] = {1};
    struct timespec slice;
    struct {
        uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority;
        uint64_t runtime, deadline, period; uint32_t low, high;
    } attr = {.size = 56, .policy = 3, .nice = 7};
    SYS(sched_getaffinity, 0, sizeof cpus, cpus);
    SYS(sched_setaffinity, 0, sizeof cpus, cpus);
    SYS(sched_getaffinity, 0, 1, cpus);
    SYS(sched_setaffinity, 0, 0, NULL);
    SYS(sched_setaffinity, 0, 8, BAD);
    SYS(sched_getscheduler, 0);
    SYS(sched_getparam, 0, &param);
    param.priority = 10;
    SYS(sched_setscheduler, 0, SCHED_FIFO_, &param);
    SYS(sched_getscheduler, 0);
    SYS(sched_rr_get_interval, 0, &slice);
    param.priority = 0;
    SYS(sched_setscheduler, 0, 0x40000000 | 3, &param);
    SYS(sched_setscheduler, 0, 77, &param);
    SYS(sched_setscheduler, 0, 0, NULL);
    SYS(sched_setparam, 0, &param);
    SYS(sched_get_priority_max, 1);
    SYS(sched_get_priority_min, 2);
    SYS(sched_get_priority_max, 77);
    SYS(sched_setattr, 0, &attr, 0);
    SYS(sched_getattr, 0, &attr, sizeof attr, 0);
    SYS(sched_setattr, 0, NULL, 0);
    SYS(ioprio_get, 1, 0);
    SYS(ioprio_set, 1, 0, 2 << 13 | 4);
    SYS(ioprio_get, 1, 0);
    SYS(ioprio_get, 9, 0);
}

static void capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    SYS(capget, &header, data);
    SYS(capset, &header, data);
    SYS(capget, &header, data);
    header.version = 7;
    SYS(capget, &header, data);
    SYS(capget, &header, NULL);
    header.version = _LINUX_CAPABILITY_VERSION_1;
    SYS(capget, &header, data);
    SYS(capget, NULL, data);
    SYS(prctl, PR_CAPBSET_READ, 5L, 0L, 0L, 0L);
    SYS(prctl, PR_CAPBSET_DROP, 99L, 0L, 0L, 0L);
    SYS(prctl, PR_CAP_AMBIENT, 1L, 3L, 0L, 0L);
    SYS(prctl, PR_CAP_AMBIENT, 4L, 0L, 0L, 0L);
    SYS(sethostname, "a name", 6L);
    SYS(setdomainname, "longer than thirty-two bytes in all", 35L);
}

static void prctls(void) {
    int sig = 0;
    SYS(prctl, PR_SET_NAME, "worker\033[1m");
    SYS(prctl, PR_GET_NAME, buffer);
    SYS(prctl, PR_SET_NAME, "a name of more than sixteen");
    SYS(prctl, PR_SET_NAME, BAD);
    SYS(prctl, PR_SET_PDEATHSIG, (long)SIGTERM);
    SYS(prctl, PR_GET_PDEATHSIG, &sig);
    SYS(prctl, PR_SET_PDEATHSIG, 0L);
    SYS(prctl, PR_SET_PDEATHSIG, 100L);
    SYS(prctl, PR_GET_DUMPABLE);
    SYS(prctl, PR_SET_DUMPABLE, 1L);
    SYS(prctl, PR_SET_DUMPABLE, 5L);
    SYS(prctl, PR_GET_KEEPCAPS);
    SYS(prctl, PR_SET_KEEPCAPS, 1L);
    SYS(prctl, PR_GET_SECUREBITS);
    SYS(prctl, PR_SET_SECUREBITS, 0x1L);
    SYS(prctl, PR_GET_SECUREBITS);
    SYS(prctl, PR_SET_TIMERSLACK, 60000L);
    SYS(prctl, PR_GET_TIMERSLACK);
    SYS(prctl, PR_SET_CHILD_SUBREAPER, 1L);
    SYS(prctl, PR_GET_CHILD_SUBREAPER, &sig);
    SYS(prctl, PR_GET_TSC, &sig);
    SYS(prctl, PR_SET_TSC, 1L);
    SYS(prctl, PR_GET_SECCOMP);
    SYS(prctl, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
    SYS(prctl, PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L);
    SYS(prctl, PR_SET_THP_DISABLE, 1L, 0L, 0L, 0L);
    SYS(prctl, PR_GET_THP_DISABLE, 0L, 0L, 0L, 0L);
    SYS(prctl, PR_GET_TID_ADDRESS, buffer);
    SYS(prctl, PR_MCE_KILL_GET, 0L, 0L, 0L, 0L);
    SYS(prctl, PR_MCE_KILL, 1L, 2L, 0L, 0L);
    SYS(prctl, PR_SET_MM, 6L, 4096L, 0L, 0L);
    SYS(prctl, PR_SET_PTRACER, -1L);
    SYS(prctl, PR_SET_PTRACER, 0L);
    SYS(prctl, PR_GET_SPECULATION_CTRL, 0L, 0L, 0L, 0L);
    SYS(prctl, PR_SET_SPECULATION_CTRL, 0L, 2L, 0L, 0L);
    SYS(prctl, PR_SET_IO_FLUSHER, 0L, 0L, 0L, 0L);
    SYS(prctl, PR_GET_IO_FLUSHER, 0L, 0L, 0L, 0L);
    SYS(prctl, PR_SET_VMA, 0L, 4096L, 4096L, "name");
    SYS(prctl, 59L, 0L, 0L, 0L, 0L);
    SYS(prctl, 4242L, 1L, 2L, 3L, 4L);
    SYS(arch_prctl, 0x1003, buffer);
    SYS(arch_prctl, 0x1004, buffer);
    SYS(arch_prctl, 0x1011, 0L);
    SYS(arch_prctl, 0x7777, 1L);
    SYS(personality, 0xffffffffL);
    SYS(personality, (long)(PER_LINUX | ADDR_NO_RANDOMIZE));
    SYS(personality, 0L);
}

static void seccomps(void) {
    struct sock_filter allow[] = {{0x20, 0, 0, 0}, {0x15, 0, 1, 105}, {0x6, 0, 0, 0x50001}, {0x6, 0, 0, 0x7fff0000}};
    struct sock_fprog program = {4, allow};
    unsigned action = 0x7fff0000;
    unsigned short sizes[3];
    SYS(seccomp, 2, 0, &action);
    action = 0x12345678;
    SYS(seccomp, 2, 0, &action);
    SYS(seccomp, 3, 0, sizes);
    SYS(seccomp, 1, 1 | 2, NULL);
    SYS(seccomp, 77, 0, NULL);
    SYS(prctl, PR_SET_SECCOMP, 2L, BAD);
    SYS(prctl, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
    SYS(seccomp, 1, 0, &program);
    SYS(setuid, 0);
    SYS(getuid);
}

static void pidfds(void) {
    int pid = child_that_exits(0);
    int fd = SYS(pidfd_open, pid, 0);
    SYS(pidfd_open, pid, O_NONBLOCK);
    SYS(pidfd_open, 1 << 30, 0);
    SYS(pidfd_open, pid, 0x10);
    siginfo_t si = {0};
    SYS(waitid, P_PIDFD, fd, &si, WEXITED, NULL);
    SYS(pidfd_send_signal, fd, SIGTERM, NULL, 0);
    SYS(pidfd_send_signal, 99, 0, NULL, 0);
    SYS(pidfd_getfd, fd, 0, 0);
    SYS(kcmp, 0, 0, 0, 0L, 1L);
    SYS(kcmp, getpid(), getpid(), 0, 0L, 0L);
    SYS(kcmp, getpid(), getpid(), 1, 0L, 0L);
    SYS(ptrace, PTRACE_ATTACH, 1 << 30, 0L, 0L);
    SYS(ptrace, PTRACE_PEEKDATA, 1 << 30, 0x1000L, 0L);
    SYS(ptrace, PTRACE_CONT, 1 << 30, 0L, 9L);
    SYS(ptrace, 0x4206, 1 << 30, 0L, 0x3L);
    SYS(ptrace, 0x7777, 1 << 30, 1L, 2L);
    SYS(unshare, CLONE_FILES | CLONE_FS);
    SYS(unshare, 0);
    SYS(unshare, 0x1);
    SYS(setns, 99, CLONE_NEWNET);
    SYS(setns, 0, 0);
}

static void machine(void) {
    struct utsname name;
    SYS(uname, &name);
    SYS(uname, NULL);
    SYS(uname, BAD);
    SYS(sysinfo, NULL);
    SYS(getrandom, buffer, 0L, 0);
    SYS(getrandom, BAD, 8L, 1);
    SYS(getrandom, buffer, 8L, 0x77);
    SYS(iopl, 9);
    SYS(ioperm, 0L, 0x10000L, 1);
    SYS(modify_ldt, 7, buffer, 4L);
    SYS(rseq, 0L, 0, 0, 0);
    SYS(time, NULL);
}

const struct workload process_workloads[] = {
    {"forks", forks}, {"stopped_child", stopped_child}, {"clone3s", clone3s},
    {"exec_again", exec_again}, {"exec_errors", exec_errors}, {"nothing", nothing},
    {"exit_codes", exit_codes}, {"identities", identities},
    {"session_and_groups", session_and_groups}, {"limits", limits}, {"scheduling", scheduling},
    {"capabilities", capabilities}, {"prctls", prctls}, {"seccomps", seccomps},
    {"pidfds", pidfds}, {"machine", machine}, {0, 0}};
