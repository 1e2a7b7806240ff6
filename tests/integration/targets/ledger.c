/* Keeps a ledger of its own system calls, in a file that it shares with whoever judges a tracer.
 *
 * ledger FILE THREADS BURST [births|forks|execs|busy]
 *
 * Every call has a number of its own in one of its arguments, and an entry with thread, number of
 * the call, and the times right before and right after it (CLOCK_MONOTONIC, without a call).
 * THREADS threads make two quick calls, then one that blocks for a moment, and again; two more
 * sleep in the same call again and again, one for long. With births a thread makes short-lived
 * threads all the time, with forks processes, with execs processes that run this program anew; with
 * busy the threads compute between their calls.
 *
 * Prints ready when all threads are at work. At a line the quick calls in a row become BURST. At the
 * next it ends its work and prints the number of entries, at the third it exits with code 4. Exits with 3 when a call returned what it
 * cannot return. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ENTRIES = 1 << 19, FIRST = 1 };

struct entry {
    uint32_t tid, nr;
    uint64_t before, after;
    int64_t asked; /* ns that the call is to block, 0 for a quick one */
};

struct book {
    atomic_uint next, ending;
    uint32_t zero[6];
    struct entry entries[ENTRIES];
};

static struct book *book;
static atomic_int working;
static atomic_long burst = 2;
static int busy;
static _Thread_local uint32_t self;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void wrong(const char *what, long result) {
    dprintf(1, "%s returned %ld, errno %d\n", what, result, errno);
    _exit(3);
}

/* A new entry, or 0 when the ledger is full or closed. */
static uint32_t enter(uint32_t nr, int64_t asked) {
    if (atomic_load(&book->ending)) return 0;
    uint32_t at = atomic_fetch_add(&book->next, 1);
    if (at >= ENTRIES) {
        atomic_store(&book->next, ENTRIES);
        atomic_store(&book->ending, 1);
        return 0;
    }
    struct entry *e = &book->entries[at];
    e->tid = self;
    e->nr = nr;
    e->asked = asked;
    e->before = now();
    return at;
}

static void leave(uint32_t at) { book->entries[at].after = now(); }

/* lseek(-1, number, SEEK_SET): fails at once. */
static int quick(void) {
    uint32_t at = enter(SYS_lseek, 0);
    if (!at) return 0;
    long result = syscall(SYS_lseek, -1, (long)at, SEEK_SET);
    if (result != -1 || errno != EBADF) wrong("lseek", result);
    leave(at);
    return 1;
}

/* futex(word, FUTEX_WAIT_PRIVATE, 0, timeout, number): the fifth argument is not used. */
static int block(int64_t ns) {
    static int word;
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    uint32_t at = enter(SYS_futex, ns);
    if (!at) return 0;
    long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, (long)at, 0);
    if (result != -1 || errno != ETIMEDOUT) wrong("futex", result);
    leave(at);
    return 1;
}

static void *work(void *unused) {
    self = (uint32_t)gettid();
    atomic_fetch_add(&working, 1);
    for (;;) {
        for (long i = atomic_load(&burst); i > 0; i--) {
            if (busy) {
                uint64_t until = now() + 100000;
                while (now() < until) continue;
            }
            if (!quick()) return unused;
        }
        if (!busy && !block(1000000)) return unused;
    }
}

static void *sleeper(void *ns) {
    self = (uint32_t)gettid();
    atomic_fetch_add(&working, 1);
    while (block((int64_t)ns)) quick();
    return 0;
}

static void some(void) {
    self = (uint32_t)gettid();
    for (int i = 0; i < 3; i++) quick();
    block(2000000);
    quick();
}

static void *brief(void *unused) {
    some();
    return unused;
}

static char *program, *file;

static void *parent(void *how) {
    self = (uint32_t)gettid();
    atomic_fetch_add(&working, 1);
    while (!atomic_load(&book->ending)) {
        quick();
        if (!strcmp(how, "births")) {
            pthread_t threads[3];
            for (int i = 0; i < 3; i++) pthread_create(&threads[i], 0, brief, 0);
            for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
        } else {
            pid_t child = fork();
            if (!child) {
                some();
                if (!strcmp(how, "execs")) execl(program, program, file, "once", (char *)0);
                _exit(0);
            }
            if (waitpid(child, 0, 0) != child) wrong("waitpid", child);
        }
        block(3000000);
    }
    return 0;
}

static void await_line(void) {
    char line[16];
    if (read(0, line, sizeof line) < 0) wrong("read", -1);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    program = argv[0], file = argv[1];
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ftruncate(fd, sizeof *book)) return 2;
    book = mmap(0, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (book == MAP_FAILED) return 2;
    if (!strcmp(argv[2], "once")) {
        some();
        return 0;
    }
    atomic_store(&book->next, FIRST);
    busy = argc > 4 && !strcmp(argv[4], "busy");
    int threads = atoi(argv[2]), makes = argc > 4 && !busy, all = threads + 2 + makes;
    pthread_t ids[64];
    int count = 0;
    for (int i = 0; i < threads; i++) pthread_create(&ids[count++], 0, work, 0);
    pthread_create(&ids[count++], 0, sleeper, (void *)30000000l);
    pthread_create(&ids[count++], 0, sleeper, (void *)700000000l);
    if (makes) pthread_create(&ids[count++], 0, parent, argv[4]);
    while (atomic_load(&working) < all) usleep(1000);
    if (write(1, "ready\n", 6) != 6) return 2;
    await_line();
    atomic_store(&burst, atol(argv[3]));
    await_line();
    atomic_store(&book->ending, 1);
    for (int i = 0; i < count; i++) pthread_join(ids[i], 0);
    uint32_t next = atomic_load(&book->next);
    printf("%u\n", next > ENTRIES ? ENTRIES : next);
    fflush(stdout);
    await_line();
    return 4;
}
