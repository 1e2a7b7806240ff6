/* N threads, each of which computes a while between two writes of its own counter to /dev/null.
 *
 * spinners N: `end` ends it: `ok` and the sum of all counters. `exec` has the last thread execute
 * /bin/sh, which says `executed` and its pid, waits for a line, and exits with code 3. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic int ending, executing;
static _Atomic long sum;
static int sink, count;

static void *work(void *argument) {
    int number = (int)(long)argument;
    for (int counter = 1; !ending; counter++) {
        for (volatile int i = 0; i < 2000; i++) {}
        if (write(sink, &counter, sizeof counter) != sizeof counter) abort();
        sum++;
        if (executing && number == count - 1)
            execl("/bin/sh", "sh", "-c", "echo executed $$; read line; exit 3", (char *)0);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    count = atoi(argv[1]);
    sink = open("/dev/null", O_WRONLY);
    pthread_t threads[64];
    for (long i = 0; i < count; i++) pthread_create(&threads[i], 0, work, (void *)i);
    dprintf(1, "ready\n");
    char line[16] = "";
    if (read(0, line, sizeof line) <= 0) return 4;
    if (!strncmp(line, "exec", 4)) executing = 1; else ending = 1;
    for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
    dprintf(1, "ok\n%ld\n", sum);
    return 0;
}
