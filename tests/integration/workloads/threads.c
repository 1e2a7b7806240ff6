/* Threads and what they wait for. */
#include "workload.h"
#include <linux/futex.h>
#include <pthread.h>

static int word;

/* Threads say through it that they are there. */
static int told[2];
static volatile int teller;

static void tell(void) {
    teller = SYS(gettid);
    SYS(write, told[1], "t", 1);
}

/* Starts a thread and returns its tid once it has told. */
static int start(void *(*run)(void *)) {
    pthread_t thread;
    char t;
    if (!told[1]) pipe(told);
    pthread_create(&thread, 0, run, 0);
    pthread_detach(thread);
    SYS(read, told[0], &t, 1);
    return teller;
}

static void *ends_at_once(void *given) {
    tell();
    return given;
}

static void thread_ends(void) {
    wait_until_gone(start(ends_at_once));
}

static void *waits_for_the_leader(void *given) {
    wait_until_in(getpid(), SYS_futex);
    return given;
}

static void thread_is_joined(void) {
    pthread_t thread;
    pthread_create(&thread, 0, waits_for_the_leader, 0);
    pthread_join(thread, 0);
}

static int out[2], back[2];

static void *works(void *given) {
    char c;
    tell();
    for (int i = 0; i < 5; i++) {
        if (SYS(read, out[0], &c, 1) != 1) break;
        SYS(getpid);
        SYS(write, back[1], &c, 1);
    }
    SYS(exit, 0);
    return given;
}

/* A call of one thread lies between the start and the end of the other's: both are split. */
static void ping_pong(void) {
    char c = 'a';
    pipe(out);
    pipe(back);
    int tid = start(works);
    for (int i = 0; i < 5; i++, c++) {
        SYS(write, out[1], &c, 1);
        SYS(read, back[0], &c, 1);
    }
    SYS(close, out[1]);
    wait_until_gone(tid);
}

static void *waits(void *given) {
    tell();
    SYS(futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL);
    tell();
    SYS(futex, &word, FUTEX_WAIT_BITSET, 1, NULL, NULL, 7);
    SYS(exit, 0);
    return given;
}

static void futex_wakes(void) {
    char t;
    int tid = start(waits);
    wait_until_in(tid, SYS_futex);
    word = 1;
    SYS(futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    SYS(read, told[0], &t, 1);
    wait_until_in(tid, SYS_futex);
    SYS(futex, &word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 8);
    SYS(futex, &word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 4);
    wait_until_gone(tid);
}

static void futex_errors(void) {
    struct timespec soon = {0, 1000}, wrong = {1, 2000000000};
    struct timespec past = {1, 0};
    int other = 0;
    SYS(futex, &word, FUTEX_WAIT, 5, NULL);
    SYS(futex, &word, FUTEX_WAIT, 0, &soon);
    SYS(futex, &word, FUTEX_WAIT_PRIVATE, 0, &wrong);
    SYS(futex, &word, FUTEX_WAIT_PRIVATE, 0, BAD);
    SYS(futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, -1);
    SYS(futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &past, NULL, 0);
    SYS(futex, &word, FUTEX_WAKE, 2147483647);
    SYS(futex, &word, FUTEX_REQUEUE, 1, 2, &other);
    SYS(futex, &word, FUTEX_CMP_REQUEUE_PRIVATE, 1, 2, &other, 9);
    SYS(futex, &word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 1));
    SYS(futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 1, &other,
        FUTEX_OP((FUTEX_OP_ANDN | 8), 3, FUTEX_OP_CMP_LE, 0xff));
    SYS(futex, &word, FUTEX_UNLOCK_PI, 0);
    SYS(futex, &word, FUTEX_TRYLOCK_PI_PRIVATE, 0);
    SYS(futex, &word, FUTEX_FD, 0);
    SYS(futex, &word, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 7, NULL, &other);
    SYS(futex, &word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 2, &other, 9);
    SYS(futex, &word, FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, 0, &past);
    SYS(futex, &word, 77, 1, 2, 3, 4);
    SYS(futex, BAD, FUTEX_WAKE, 1);
    SYS(futex, NULL, FUTEX_WAIT, 0, NULL);
    SYS(futex, 1L, FUTEX_WAIT, 0, NULL);
    struct {
        uint64_t value, address;
        uint32_t flags, reserved;
    } waiters[] = {{5, (uintptr_t)&word, 2 | 128, 0}, {0, 4096, 3, 7}};
    SYS(futex_waitv, waiters, 2, 0, &past, CLOCK_MONOTONIC);
    SYS(futex_waitv, waiters, 1, 1, NULL, 99);
    SYS(futex_waitv, BAD, 1, 0, NULL, CLOCK_REALTIME);
}

static void *hits_itself(void *given) {
    tell();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 3);
    SYS(rt_sigprocmask, SIG_BLOCK, &set, NULL, 8);
    int tid = SYS(gettid);
    SYS(tgkill, getpid(), tid, SIGUSR1);
    SYS(tkill, tid, SIGRTMIN + 3);
    SYS(rt_sigtimedwait, &set, NULL, NULL, 8);
    SYS(rt_sigtimedwait, &set, NULL, NULL, 8);
    SYS(exit, 0);
    return given;
}

static void thread_signals(void) {
    wait_until_gone(start(hits_itself));
    SYS(tgkill, getpid(), 1 << 30, 0);
    SYS(tgkill, -1, -1, SIGTERM);
    SYS(tkill, 0, 99);
}

static void *sleeps(void *given) {
    tell();
    SYS(pause);
    return given;
}

static void ends_with_threads(void) {
    wait_until_in(start(sleeps), SYS_pause);
    SYS(exit_group, 9);
}

static void *executes(void *given) {
    char *argv[] = {self, "nothing", "-", 0};
    char *none[] = {0};
    wait_until_in(getpid(), SYS_pause);
    SYS(execve, self, argv, none);
    return given;
}

static void thread_executes(void) {
    pthread_t thread;
    pthread_create(&thread, 0, executes, 0);
    SYS(pause);
}

static void *one_of_many(void *given) {
    tell();
    for (int i = 0; i < 3; i++) SYS(getppid);
    SYS(exit, 0);
    return given;
}

static void many_threads(void) {
    for (int i = 0; i < 8; i++) wait_until_gone(start(one_of_many));
}

static void leader_ends_first(void) {
    wait_until_in(start(sleeps), SYS_pause);
    int pid = fork();
    if (pid == 0) {
        is_helper();
        char path[64], line[512];
        int parent = getppid();
        snprintf(path, sizeof path, "/proc/%d/stat", parent);
        for (int ended = 0; !ended; usleep(1000)) {
            int fd = open(path, O_RDONLY);
            ssize_t got = read(fd, line, sizeof line - 1);
            close(fd);
            line[got > 0 ? got : 0] = 0;
            char *at = strrchr(line, ')');
            ended = at && at[2] == 'Z';
        }
        kill(parent, SIGKILL);
        _exit(0);
    }
    SYS(exit, 3);
}

const struct workload thread_workloads[] = {
    {"thread_ends", thread_ends}, {"thread_is_joined", thread_is_joined},
    {"ping_pong", ping_pong}, {"futex_wakes", futex_wakes}, {"futex_errors", futex_errors},
    {"thread_signals", thread_signals}, {"ends_with_threads", ends_with_threads},
    {"thread_executes", thread_executes}, {"many_threads", many_threads},
    {"leader_ends_first", leader_ends_first}, {0, 0}};
