/* A thread other than the leader calls execve, while the leader blocks in a read of a pipe and
 * others are busy. The new program prints what it was given and exits with code 3. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *execute(void *unused) {
    char line[16];
    if (read(0, line, sizeof line) <= 0) return unused;
    execl("/bin/sh", "sh", "-c", "echo \"executed $1 $$\"; read line; echo \"$line\"; exit 3", "sh",
          "argument", (char *)0);
    return unused;
}

static void *busy(void *unused) {
    for (;;) close(-1);
    return unused;
}

int main(void) {
    int tube[2];
    char byte;
    pthread_t thread;
    if (pipe2(tube, O_CLOEXEC)) return 2;
    for (int i = 0; i < 3; i++) pthread_create(&thread, 0, busy, 0);
    pthread_create(&thread, 0, execute, 0);
    dprintf(1, "ready\n");
    return read(tube[0], &byte, 1) == 1 ? 8 : 9;
}
