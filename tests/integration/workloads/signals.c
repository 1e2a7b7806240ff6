/* Signals: sent, blocked, handled, fatal. */
#include "workload.h"
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

static void handler(int number) {
    (void)number;
}

static void handle(int number, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(number, &action, NULL);
}

static void handled(void) {
    handle(SIGUSR1, SA_RESTART);
    handle(SIGUSR2, SA_SIGINFO | SA_NODEFER);
    handle(SIGRTMIN + 1, SA_RESETHAND | SA_ONSTACK | SA_NOCLDSTOP | SA_NOCLDWAIT);
    SYS(kill, getpid(), SIGUSR1);
    SYS(tgkill, getpid(), getpid(), SIGUSR2);
    SYS(kill, getpid(), SIGRTMIN + 1);
    siginfo_t si = {.si_code = SI_QUEUE};
    si.si_pid = getpid();
    si.si_value.sival_int = 77;
    SYS(rt_sigqueueinfo, getpid(), SIGUSR1, &si);
    SYS(rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR2, &si);
    SYS(rt_sigqueueinfo, getpid(), 99, &si);
    SYS(rt_sigqueueinfo, 1 << 30, SIGUSR1, NULL);
    SYS(kill, getpid(), 0);
    SYS(kill, 1 << 30, SIGTERM);
    SYS(kill, getpid(), 77);
    SYS(kill, getpid(), SIGCHLD);
    deliver_child_signals();
    SYS(kill, getpid(), SIGWINCH);
}

static void actions(void) {
    struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } action, old;
    memset(&action, 0, sizeof action);
    action.handler = (void *)SIG_IGN;
    SYS(rt_sigaction, SIGPIPE, &action, &old, 8);
    action.handler = (void *)SIG_DFL;
    action.mask = 1 << 1 | 1 << 14 | 1UL << 33 | 1UL << 40;
    SYS(rt_sigaction, SIGPIPE, &action, NULL, 8);
    action.mask = ~0UL;
    action.flags = 0x10000000 | 0x800 | 0x100;
    SYS(rt_sigaction, SIGHUP, &action, &action, 8);
    SYS(rt_sigaction, SIGHUP, NULL, &old, 8);
    SYS(rt_sigaction, SIGKILL, &action, NULL, 8);
    SYS(rt_sigaction, SIGHUP, BAD, NULL, 8);
    SYS(rt_sigaction, SIGHUP, &action, NULL, 4);
    SYS(rt_sigaction, 99, NULL, NULL, 8);
    SYS(rt_sigaction, SIGRTMIN, NULL, &old, 8);
    SYS(rt_sigaction, 64, NULL, BAD, 8);
}

static void masks(void) {
    unsigned long set = 0, old;
    SYS(rt_sigprocmask, SIG_BLOCK, &set, &old, 8);
    set = 1 << 9 | 1 << 11;
    SYS(rt_sigprocmask, SIG_BLOCK, &set, NULL, 8);
    set = ~0UL;
    SYS(rt_sigprocmask, SIG_SETMASK, &set, &old, 8);
    set = ~(1UL << 9);
    SYS(rt_sigprocmask, SIG_UNBLOCK, &set, &old, 8);
    SYS(rt_sigprocmask, 77, &set, &old, 8);
    SYS(rt_sigprocmask, SIG_BLOCK, NULL, &old, 8);
    SYS(rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8);
    SYS(rt_sigprocmask, SIG_BLOCK, &set, NULL, 16);
    SYS(kill, getpid(), SIGUSR1);
    SYS(rt_sigpending, &set, 8);
    SYS(rt_sigpending, &set, 4);
    set = 1 << 9;
    siginfo_t si;
    struct timespec none = {0, 0};
    SYS(rt_sigtimedwait, &set, &si, NULL, 8);
    SYS(rt_sigtimedwait, &set, &si, &none, 8);
    SYS(rt_sigtimedwait, &set, NULL, BAD, 8);
    stack_t stack = {.ss_sp = malloc(16384), .ss_size = 16384}, before;
    SYS(sigaltstack, &stack, &before);
    SYS(sigaltstack, NULL, &before);
    stack.ss_flags = SS_DISABLE;
    SYS(sigaltstack, &stack, NULL);
    stack.ss_flags = 0x80000000;
    stack.ss_size = 1;
    SYS(sigaltstack, &stack, NULL);
}

static void signal_files(void) {
    unsigned long set = 1 << 9 | 1UL << 35;
    char buffer[256];
    SYS(rt_sigprocmask, SIG_BLOCK, &set, NULL, 8);
    int fd = SYS(signalfd4, -1, &set, 8L, SFD_CLOEXEC | SFD_NONBLOCK);
    SYS(signalfd, -1, &set, 8L);
    SYS(signalfd4, fd, &set, 8L, 0);
    SYS(signalfd4, -1, &set, 4L, 1);
    SYS(signalfd4, -1, NULL, 8L, 0);
    SYS(read, fd, buffer, 128);
}

/* A child that hits this process once it sleeps in a call of this number. */
static int hits_when_in(long nr, int number) {
    int pid = fork();
    if (pid == 0) {
        is_helper();
        char path[64], line[64];
        int parent = getppid();
        snprintf(path, sizeof path, "/proc/%d/syscall", parent);
        for (;;) {
            int fd = open(path, O_RDONLY);
            ssize_t got = read(fd, line, sizeof line - 1);
            close(fd);
            if (got > 0 && line[0] != 'r' && strtol(line, 0, 10) == nr) break;
            usleep(1000);
        }
        kill(parent, number);
        _exit(0);
    }
    return pid;
}

static void interrupted(void) {
    struct sigaction action = {.sa_handler = handler};
    struct timespec ten = {10, 0}, left = {0, 0};
    unsigned long none = 0;
    sigaction(SIGUSR1, &action, NULL);
    hits_when_in(SYS_pause, SIGUSR1);
    SYS(pause);
    hits_when_in(SYS_nanosleep, SIGUSR1);
    SYS(nanosleep, &ten, NULL);
    hits_when_in(SYS_rt_sigsuspend, SIGUSR1);
    none = 1 << (SIGCHLD - 1);
    SYS(rt_sigsuspend, &none, 8L);
    hits_when_in(SYS_poll, SIGUSR1);
    SYS(poll, NULL, 0, 20000);
    hits_when_in(SYS_rt_sigtimedwait, SIGUSR1);
    none = 1 << 11;
    SYS(rt_sigtimedwait, &none, NULL, NULL, 8L);
    (void)left;
    for (int i = 0; i < 5; i++) SYS(wait4, -1, NULL, 0, NULL);
}

static void restarted(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    int ends[2];
    char c;
    pipe(ends);
    sigaction(SIGUSR1, &action, NULL);
    int pid = hits_when_in(SYS_read, SIGUSR1);
    int second = fork();
    if (second == 0) {
        is_helper();
        waitid(P_PID, pid, 0, WEXITED);
        close(ends[0]);
        usleep(50000);
        if (write(ends[1], "x", 1) != 1) _exit(1);
        _exit(0);
    }
    SYS(read, ends[0], &c, 1);
    SYS(wait4, pid, NULL, 0, NULL);
    SYS(wait4, second, NULL, 0, NULL);
}

static sigjmp_buf again;

static void jumps(int number) {
    siglongjmp(again, number);
}

static void faults(void) {
    struct sigaction action = {.sa_handler = jumps, .sa_flags = SA_NODEFER};
    int numbers[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP};
    for (int i = 0; i < 5; i++) sigaction(numbers[i], &action, NULL);
    volatile int zero = 0;
    volatile char *volatile nowhere = BAD;
    char *readonly = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = file_with("f", "");
    volatile char *behind = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (sigsetjmp(again, 0) == 0) *nowhere = 1;
    if (sigsetjmp(again, 0) == 0) *(volatile char *)readonly = 1;
    if (sigsetjmp(again, 0) == 0) zero = 1 / zero;
    if (sigsetjmp(again, 0) == 0) __asm__ volatile("ud2");
    if (sigsetjmp(again, 0) == 0) (void)*behind;
    if (sigsetjmp(again, 0) == 0) __asm__ volatile("int3");
}

static void no_core(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

static void killed_by_segv(void) {
    no_core();
    volatile char *volatile nowhere = BAD;
    *nowhere = 1;
}

static void killed_by_abort(void) {
    no_core();
    SYS(tgkill, getpid(), getpid(), SIGABRT);
}

static void killed_by_term(void) {
    SYS(kill, getpid(), SIGTERM);
}

static void killed_by_kill(void) {
    SYS(kill, getpid(), SIGKILL);
}

static void killed_asleep(void) {
    hits_when_in(SYS_pause, SIGKILL);
    SYS(pause);
}

static void pipe_breaks(void) {
    int ends[2];
    pipe(ends);
    SYS(close, ends[0]);
    signal(SIGPIPE, SIG_IGN);
    SYS(write, ends[1], "x", 1);
    signal(SIGPIPE, SIG_DFL);
    SYS(write, ends[1], "x", 1);
}

static void stops(void) {
    int pid = fork();
    if (pid == 0) {
        is_helper();
        char path[64], line[512];
        int parent = getppid();
        snprintf(path, sizeof path, "/proc/%d/stat", parent);
        for (int stopped = 0; !stopped; usleep(1000)) {
            int fd = open(path, O_RDONLY);
            ssize_t got = read(fd, line, sizeof line - 1);
            close(fd);
            line[got > 0 ? got : 0] = 0;
            char *at = strrchr(line, ')');
            stopped = at && (at[2] == 'T' || at[2] == 't');
        }
        usleep(100000);
        kill(parent, SIGCONT);
        _exit(0);
    }
    SYS(kill, getpid(), SIGSTOP);
    SYS(getuid);
    SYS(wait4, pid, NULL, 0, NULL);
}

static void children(void) {
    int status;
    siginfo_t si;
    int pid = child_that_exits(1);
    SYS(wait4, pid, &status, 0, NULL);
    deliver_child_signals();
    handle(SIGCHLD, 0);
    pid = child_that_exits(2);
    SYS(waitid, P_PID, pid, &si, WEXITED, NULL);
    deliver_child_signals();
    handle(SIGCHLD, SA_SIGINFO | SA_RESTART);
    pid = fork();
    if (pid == 0) SYS(kill, getpid(), SIGTERM);
    SYS(waitid, P_PID, pid, &si, WEXITED, NULL);
    deliver_child_signals();
    signal(SIGCHLD, SIG_IGN);
    pid = child_that_exits(3);
    SYS(wait4, pid, &status, 0, NULL);
    deliver_child_signals();
}

const struct workload signal_workloads[] = {
    {"handled", handled}, {"actions", actions}, {"masks", masks}, {"signal_files", signal_files},
    {"interrupted", interrupted}, {"restarted", restarted}, {"faults", faults},
    {"killed_by_segv", killed_by_segv}, {"killed_by_abort", killed_by_abort},
    {"killed_by_term", killed_by_term}, {"killed_by_kill", killed_by_kill},
    {"killed_asleep", killed_asleep}, {"pipe_breaks", pipe_breaks}, {"stops", stops},
    {"children", children}, {0, 0}};
