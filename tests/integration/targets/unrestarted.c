/* Sleeps in calls that Linux does not start again after a stop, beside a thread that keeps busy.
 *
 * Threads sleep in epoll_wait, semop and sigtimedwait and count the times that these return EINTR.
 * Prints ready, then for each line that count in all; at the end of stdin exits with code 0. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <unistd.h>

static atomic_int interrupted, begun;
static int semaphore;

static void *poller(void *unused) {
    int set = epoll_create1(0);
    struct epoll_event event;
    for (;;) {
        atomic_fetch_add(&begun, 1);
        if (epoll_wait(set, &event, 1, -1) < 0 && errno == EINTR) atomic_fetch_add(&interrupted, 1);
    }
    return unused;
}

static void *taker(void *unused) {
    struct sembuf take = {0, -1, 0};
    for (;;) {
        atomic_fetch_add(&begun, 1);
        if (semop(semaphore, &take, 1) < 0 && errno == EINTR)
            atomic_fetch_add(&interrupted, 1);
        else
            break;
    }
    return unused;
}

static void *waiter(void *unused) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, 0);
    for (;;) {
        atomic_fetch_add(&begun, 1);
        if (sigwaitinfo(&set, 0) < 0 && errno == EINTR) atomic_fetch_add(&interrupted, 1);
    }
    return unused;
}

static void *busy(void *unused) {
    for (;;)
        for (int i = 0; i < 1000; i++) getppid();
    return unused;
}

int main(void) {
    pthread_t thread;
    char line[16];
    semaphore = semget(IPC_PRIVATE, 1, 0600);
    if (semaphore < 0) return 2;
    pthread_create(&thread, 0, poller, 0);
    pthread_create(&thread, 0, taker, 0);
    pthread_create(&thread, 0, waiter, 0);
    pthread_create(&thread, 0, busy, 0);
    while (atomic_load(&begun) < 3) usleep(1000);
    usleep(20000);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%d\n", atomic_load(&interrupted));
        fflush(stdout);
    }
    semctl(semaphore, 0, IPC_RMID);
    return 0;
}
