/* The same system calls each time: two threads one after the other, errors, paths, files.
 *
 * sequence DIRECTORY: waits for a line, works, exits with code 4. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void files(const char *name) {
    char buffer[64];
    struct stat status;
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 20; i++)
        if (write(fd, "0123456789", 10) != 10) abort();
    lseek(fd, 5, SEEK_SET);
    while (read(fd, buffer, sizeof buffer) > 0) continue;
    fstat(fd, &status);
    struct iovec vector[2] = {{"ab", 2}, {"cdef", 4}};
    if (writev(fd, vector, 2) != 6) abort();
    close(fd);
    close(fd);
    open("/nonexistent/file", O_RDONLY);
    mkdir("/proc/nothing", 0700);
    unlink(name);
}

static void *work(void *name) {
    files(name);
    int pair[2];
    char buffer[8];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    if (send(pair[0], "hello", 5, 0) != 5 || recv(pair[1], buffer, 8, 0) != 5) abort();
    close(pair[0]);
    if (recv(pair[1], buffer, 8, 0) != 0) abort();
    close(pair[1]);
    struct timespec pause = {0, 2000000};
    nanosleep(&pause, 0);
    return 0;
}

int main(int argc, char **argv) {
    char line[16], name[2][4096];
    if (argc != 2) return 2;
    if (write(1, "ready\n", 6) != 6 || read(0, line, sizeof line) <= 0) return 2;
    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof name[i], "%s/file%d", argv[1], i);
        files(name[i]);
        pthread_t thread;
        pthread_create(&thread, 0, work, name[i]);
        pthread_join(thread, 0);
        void *memory = mmap(0, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(memory, 4096, PROT_NONE);
        munmap(memory, 1 << 16);
    }
    return 4;
}
