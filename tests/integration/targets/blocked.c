/* Three threads that block: read of a pipe, epoll_wait, futex. Prints their tids after `ready`;
 * a line wakes them; exit code 0 when each got what it waited for. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static int tube[2], other[2], poller, word = 7;
static pthread_barrier_t barrier;
static pid_t tids[3];

static void *block(void *which) {
    long i = (long)which;
    tids[i] = syscall(SYS_gettid);
    pthread_barrier_wait(&barrier);
    char byte = 0;
    struct epoll_event event;
    if (i == 0) return (void *)(read(tube[0], &byte, 1) == 1 && byte == 'x' ? 0L : 1L);
    if (i == 1) {
        int n;
        /* Never restarted by the kernel (signal(7)): a stop, and so an attach, shows as EINTR. */
        while ((n = epoll_wait(poller, &event, 1, -1)) < 0 && errno == EINTR) continue;
        return (void *)(n == 1 ? 0L : 1L);
    }
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 7)
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, 0, 0, 0);
    return 0;
}

int main(void) {
    if (pipe(tube) || pipe(other)) return 2;
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(poller, EPOLL_CTL_ADD, other[0], &event);
    pthread_barrier_init(&barrier, 0, 4);
    pthread_t threads[3];
    for (long i = 0; i < 3; i++) pthread_create(&threads[i], 0, block, (void *)i);
    pthread_barrier_wait(&barrier);
    printf("ready\n%d %d %d %d %d %lx\n", tids[0], tids[1], tids[2], tube[0], poller,
           (unsigned long)&word);
    fflush(stdout);
    char line[16];
    if (!fgets(line, sizeof line, stdin)) return 3;
    if (write(tube[1], "x", 1) != 1 || write(other[1], "x", 1) != 1) return 4;
    __atomic_store_n(&word, 8, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    long bad = 0;
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        bad += (long)result;
    }
    puts(bad ? "wrong" : "ok");
    return bad;
}
