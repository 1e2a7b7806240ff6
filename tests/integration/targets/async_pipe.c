/* Owns a pipe that signals its owner (O_ASYNC), and ends with it open: closing it, the kernel sends
 * a signal to a process that has ended. With threads as an argument the leader ends first.
 *
 * Prints ready, waits for a line (with threads for another one), exits with code 4. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void handle(int number) { (void)number; }

static void *rest(void *unused) {
    char line[16];
    if (read(0, line, sizeof line) < 0) exit(3);
    exit(4);
    return unused;
}

int main(int argc, char **argv) {
    int tube[2];
    (void)argv;
    signal(SIGIO, handle);
    if (pipe(tube) || fcntl(tube[0], F_SETOWN, getpid()) || fcntl(tube[0], F_SETFL, O_ASYNC))
        return 2;
    if (write(1, "ready\n", 6) != 6) return 2;
    if (argc > 1) {
        pthread_t thread;
        char line[16];
        if (read(0, line, sizeof line) < 0) return 3;
        pthread_create(&thread, 0, rest, 0);
        pthread_exit(0);
    }
    rest(0);
    return 2;
}
