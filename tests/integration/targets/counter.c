/* Makes system calls as fast as it can in N threads and checks every result.
 *
 * counter FILE N: FILE becomes 8 bytes of shared memory that count the rounds. A wrong result
 * prints what was wrong and aborts. The line `end` ends it: `ok`, exit code 0. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic unsigned long *rounds;
static _Atomic int ending;

static void *work(void *unused) {
    char buffer[16], expected[16] = {0};
    while (!ending) {
        int fd = open("/dev/zero", O_RDONLY);
        memset(buffer, 1, sizeof buffer);
        if (fd < 3 || read(fd, buffer, 16) != 16 || memcmp(buffer, expected, 16) || close(fd)) {
            puts("wrong result");
            abort();
        }
        if (write(-1, buffer, 1) != -1) {
            puts("a failing call succeeded");
            abort();
        }
        atomic_fetch_add(rounds, 1);
    }
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int count = atoi(argv[2]), fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, 8)) return 2;
    rounds = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pthread_t threads[64];
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], 0, work, 0)) return 2;
    puts("ready");
    fflush(stdout);
    char line[16];
    if (!fgets(line, sizeof line, stdin)) puts("no line");
    ending = 1;
    for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
    puts("ok");
    return 0;
}
