/* Threads and what they wait for. */
#include "workload.h"
#include <linux/futex.h>
#include <pthread.h>

static int word;

static void *ends_at_once(void *given) {
    return given;
}

static void thread_ends(void) {
    pthread_t thread;
    pthread_create(&thread, 0, ends_at_once, 0);
    pthread_join(thread, 0);
}

static int out[2], back[2];

static void *works(void *given) {
    char c;
    (void)given;
    for (int i = 0; i < 5; i++) {
        if (SYS(read, out[0], &c, 1) != 1) break;
        SYS(getpid);
        SYS(write, back[1], &c, 1);
    }
    SYS(exit, 0);
    return 0;
}

/* A call of one thread lies between the start and the end of the other's: both are split. */
static void ping_pong(void) {
    pthread_t thread;
    char c = 'a';
    pipe(out);
    pipe(back);
    pthread_create(&thread, 0, works, 0);
    for (int i = 0; i < 5; i++, c++) {
        SYS(write, out[1], &c, 1);
        SYS(read, back[0], &c, 1);
    }
    SYS(close, out[1]);
}

static void *waits(void *given) {
    (void)given;
    SYS(futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL);
    SYS(futex, &word, FUTEX_WAIT_BITSET, 1, NULL, NULL, 7);
    SYS(exit, 0);
    return 0;
}

static volatile int waiter;

static void *tells_its_tid(void *given) {
    waiter = SYS(gettid);
    SYS(futex, &waiter, FUTEX_WAKE, 1);
    return waits(given);
}

static void futex_wakes(void) {
    pthread_t thread;
    pthread_create(&thread, 0, tells_its_tid, 0);
    while (!waiter) SYS(sched_yield);
    int tid = waiter;
    wait_until_in(tid, SYS_futex);
    word = 1;
    SYS(futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    wait_until_in(tid, SYS_futex);
    while (SYS(futex, &word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 4) == 0) usleep(1000);
    pthread_join(thread, 0);
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
}

static void *hits_itself(void *given) {
    (void)given;
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
    return 0;
}

static void thread_signals(void) {
    pthread_t thread;
    pthread_create(&thread, 0, hits_itself, 0);
    pthread_join(thread, 0);
    SYS(tgkill, getpid(), 1 << 30, 0);
    SYS(tgkill, -1, -1, SIGTERM);
    SYS(tkill, 0, 99);
}

static void *sleeps(void *given) {
    waiter = SYS(gettid);
    SYS(pause);
    return given;
}

static void ends_with_threads(void) {
    pthread_t thread;
    pthread_create(&thread, 0, sleeps, 0);
    while (!waiter) SYS(sched_yield);
    wait_until_in(waiter, SYS_pause);
    SYS(exit_group, 9);
}

static void *executes(void *given) {
    char *argv[] = {self, "nothing", "-", 0};
    (void)given;
    char *none[] = {0};
    SYS(execve, self, argv, none);
    return 0;
}

static void thread_executes(void) {
    pthread_t thread;
    pthread_create(&thread, 0, executes, 0);
    SYS(pause);
}

static void *one_of_many(void *given) {
    (void)given;
    for (int i = 0; i < 3; i++) SYS(getppid);
    SYS(exit, 0);
    return 0;
}

static void many_threads(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, one_of_many, 0);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
}

static void *returns_late(void *given) {
    waiter = SYS(gettid);
    SYS(pause);
    return given;
}

static void leader_ends_first(void) {
    pthread_t thread;
    pthread_create(&thread, 0, one_of_many, 0);
    pthread_join(thread, 0);
    pthread_create(&thread, 0, returns_late, 0);
    while (!waiter) SYS(sched_yield);
    wait_until_in(waiter, SYS_pause);
    int pid = fork();
    if (pid == 0) {
        usleep(20000);
        kill(getppid(), SIGKILL);
        _exit(0);
    }
    SYS(exit, 3);
}

const struct workload thread_workloads[] = {
    {"thread_ends", thread_ends}, {"ping_pong", ping_pong}, {"futex_wakes", futex_wakes},
    {"futex_errors", futex_errors}, {"thread_signals", thread_signals},
    {"ends_with_threads", ends_with_threads}, {"thread_executes", thread_executes},
    {"many_threads", many_threads}, {"leader_ends_first", leader_ends_first}, {0, 0}};
