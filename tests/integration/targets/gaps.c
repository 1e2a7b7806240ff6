/* Works in N threads and measures the longest time for which one of them stood still.
 *
 * gaps N PAUSE: each round is a system call, and PAUSE microseconds of sleep if that is not 0.
 * gaps N PAUSE forks: each round is also a child that ends at once.
 * The line `gap` answers the longest time in milliseconds, begins anew, and says how many rounds
 * there were; the line `end` ends it: `ok`, exit code 0. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct lane {
    _Atomic long seen, longest;
} lanes[64];
static _Atomic long rounds;
static _Atomic int ending;
static long pause_us;
static int forks;

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void *work(void *argument) {
    struct lane *lane = argument;
    while (!ending) {
        syscall(SYS_getppid);
        if (forks) {
            pid_t child = fork();
            if (child == 0) _exit(3);
            int status = 0;
            if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 3) {
                puts("a child went wrong");
                abort();
            }
        }
        if (pause_us) usleep((useconds_t)pause_us);
        long time = now(), gap = time - lane->seen;
        lane->seen = time;
        if (gap > lane->longest) lane->longest = gap;
        rounds++;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    int count = atoi(argv[1]);
    pause_us = atol(argv[2]);
    forks = argc > 3 && !strcmp(argv[3], "forks");
    pthread_t threads[64];
    for (int i = 0; i < count; i++) {
        lanes[i].seen = now();
        if (pthread_create(&threads[i], 0, work, &lanes[i])) return 2;
    }
    puts("ready");
    fflush(stdout);
    char line[16];
    while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n")) {
        long longest = 0, time = now();
        for (int i = 0; i < count; i++) {
            // Also of one that stands still now.
            long gap = lanes[i].longest, standing = time - lanes[i].seen;
            if (standing > gap) gap = standing;
            if (gap > longest) longest = gap;
            lanes[i].longest = 0;
        }
        printf("%ld %ld\n", longest / 1000000, (long)rounds);
        fflush(stdout);
    }
    ending = 1;
    for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
    puts("ok");
    return 0;
}
