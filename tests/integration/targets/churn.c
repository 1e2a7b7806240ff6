/* Creates and joins threads without pause, and starts programs with vfork and exec between them.
 * After a line it prints how many threads and programs gave the right result. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int ending;

static void *work(void *number) {
    char buffer[32];
    int n = snprintf(buffer, sizeof buffer, "%ld", (long)number);
    if (write(-1, buffer, n) != -1 || getppid() <= 0) abort();
    return (void *)((long)number + 1);
}

static void *wait_for_line(void *unused) {
    char line[16];
    if (read(0, line, sizeof line) < 0) abort();
    ending = 1;
    return unused;
}

int main(void) {
    pthread_t reader, threads[8];
    pthread_create(&reader, 0, wait_for_line, 0);
    dprintf(1, "ready\n");
    long threads_right = 0, threads_made = 0, programs_right = 0, programs_made = 0;
    while (!ending || programs_made < 20) {
        for (long i = 0; i < 8; i++)
            if (pthread_create(&threads[i], 0, work, (void *)i)) abort();
        for (long i = 0; i < 8; i++) {
            void *result;
            pthread_join(threads[i], &result);
            threads_right += result == (void *)(i + 1);
            threads_made++;
        }
        pid_t child = vfork();
        if (child == 0) {
            execl("/bin/sh", "sh", "-c", "exit 17", (char *)0);
            _exit(1);
        }
        int status;
        programs_made++;
        programs_right += waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 17;
    }
    pthread_join(reader, 0);
    puts(threads_right == threads_made && programs_right == programs_made ? "ok" : "wrong");
    return 0;
}
