// A target that counts its own system calls: COUNTERFILE THREADS MODE [RATE]
//   mix    write 32 bytes, open, read 16, close, as fast as it can
//   work   about 100 us of computing between two writes
//   sleep  the mix, then nanosleep for 1 ms
//   pace   the mix, as often as makes RATE calls a second in all of a thread
//   memory 20 times the mix, then map 1 MiB, touch every page of it, and unmap it
// Each thread has a counter of its own in the shared file, 128 bytes apart.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile long *counters;
static const char *mode;
static long rate;

static void checked(int right) {
    if (!right) abort();
}

static void *run(void *argument) {
    volatile long *counter = counters + (long)argument * 16;
    int sink = open("/dev/null", O_WRONLY);
    char block[64];
    memset(block, 'x', sizeof block);
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    long owed = 0;
    for (long round = 1;; round++) {
        if (!strcmp(mode, "memory") && round % 20 == 0) {
            char *area = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            checked(area != MAP_FAILED);
            for (int at = 0; at < 1 << 20; at += 4096) area[at] = 1;
            checked(munmap(area, 1 << 20) == 0);
            *counter += 2;
        }
        checked(write(sink, block, 32) == 32);
        *counter += 1;
        if (!strcmp(mode, "work")) {
            for (volatile int i = 0; i < 50000; i++) {}
            continue;
        }
        int file = open("/etc/hostname", O_RDONLY);
        checked(file >= 0);
        checked(read(file, block, 16) >= 0);
        checked(close(file) == 0);
        *counter += 3;
        if (!strcmp(mode, "sleep")) {
            struct timespec pause = {0, 1000000};
            nanosleep(&pause, 0);
            *counter += 1;
        }
        if (rate && (owed -= 4) <= 0) {
            // What a late millisecond leaves out is made up for in the next ones.
            owed += rate / 1000;
            if ((due.tv_nsec += 1000000) >= 1000000000) {
                due.tv_nsec -= 1000000000;
                due.tv_sec++;
            }
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
            *counter += 1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    rate = argc > 4 ? atol(argv[4]) : 0;
    int file = open(argv[1], O_RDWR);
    checked(file >= 0);
    counters = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    checked(counters != MAP_FAILED);
    mode = argv[3];
    for (long i = 1; i < atol(argv[2]); i++) {
        pthread_t thread;
        checked(pthread_create(&thread, 0, run, (void *)i) == 0);
    }
    puts("ready");
    fflush(stdout);
    run(0);
}
