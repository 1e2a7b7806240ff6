// Times its own mmap and munmap. `mapper MIB` fills so much memory with small pages; each line on
// stdin is a number of milliseconds to map and unmap for. The answer: `mapping`, then calls, and how long they took
// in microseconds at the 99.9th percentile and at most, by the clock and while they were blocked
// (neither on a CPU nor waiting for one).
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 200000 };
static long clocks[MOST], blocked[MOST];
static int schedstat;

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

// Time on a CPU and time waiting for one, nanoseconds.
static long scheduled(void) {
    char text[128] = {0};
    long ran = 0, waited = 0;
    if (pread(schedstat, text, sizeof text - 1, 0) > 0) sscanf(text, "%ld %ld", &ran, &waited);
    return ran + waited;
}

static int by_size(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return x < y ? -1 : x > y;
}

static long part(long *times, int count, double share) {
    qsort(times, count, sizeof *times, by_size);
    return times[(int)((count - 1) * share)] / 1000;
}

static int note(int count, long begun, long before) {
    clocks[count] = now() - begun;
    long rest = clocks[count] - (scheduled() - before);
    blocked[count] = rest > 0 ? rest : 0;
    return count + 1;
}

int main(int argc, char **argv) {
    size_t size = (size_t)atol(argv[argc > 1]) << 20;
    char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 1;
    madvise(memory, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
    char path[64], line[64];
    snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", (long)syscall(SYS_gettid));
    schedstat = open(path, O_RDONLY);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        puts("mapping");
        fflush(stdout);
        long until = now() + atol(line) * 1000000L;
        int count = 0;
        while (now() < until && count < MOST - 2) {
            long before = scheduled(), begun = now();
            char *p = mmap(0, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            count = note(count, begun, before);
            before = scheduled(), begun = now();
            munmap(p, 1 << 16);
            count = note(count, begun, before);
            usleep(500);
        }
        printf("%d", count);
        printf(" %ld %ld", part(clocks, count, 0.999), part(clocks, count, 1));
        printf(" %ld %ld\n", part(blocked, count, 0.999), part(blocked, count, 1));
        fflush(stdout);
    }
}
