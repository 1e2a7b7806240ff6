// A target that counts its own calls: THREADS RATE, the calls a second of each thread (0: as fast
// as it can). It makes them when told to: a line "N" on stdin has each thread i make the calls
// lseek(100 + i, 0 .. N - 1, SEEK_SET), then it prints "done". Nothing else it does is an lseek.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long threads, rate, count;
static pthread_barrier_t begin, end;

static void issue(long thread) {
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (long number = 0; number < count; number++) {
        if (lseek(100 + thread, number, SEEK_SET) != number) abort();
        if (rate && number % 20 == 19) {
            due.tv_nsec += 20 * (1000000000 / rate);
            while (due.tv_nsec >= 1000000000) due.tv_nsec -= 1000000000, due.tv_sec++;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
        }
    }
}

static void *run(void *argument) {
    for (;;) {
        pthread_barrier_wait(&begin);
        issue((long)argument);
        pthread_barrier_wait(&end);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    threads = atol(argv[1]);
    rate = atol(argv[2]);
    for (long i = 0; i < threads; i++) {
        int file = open("/etc/hostname", O_RDONLY);
        if (file < 0 || dup2(file, 100 + i) < 0) abort();
    }
    pthread_barrier_init(&begin, 0, threads + 1);
    pthread_barrier_init(&end, 0, threads + 1);
    for (long i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, 0, run, (void *)i)) abort();
    }
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        count = atol(line);
        pthread_barrier_wait(&begin);
        pthread_barrier_wait(&end);
        puts("done");
        fflush(stdout);
    }
    return 0;
}
