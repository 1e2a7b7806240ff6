/* Starts processes in every way there is; each child closes a descriptor of a number of its own,
 * which is not open, so that a trace shows what is its. Orders on stdin, a line each. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int next = 1000;

static void child(int number) {
    close(number);
    _exit(number % 100);
}

static pid_t by_clone3(void) {
    struct clone_args args = {.exit_signal = SIGCHLD};
    return syscall(SYS_clone3, &args, sizeof args);
}

static int cloned(void *number) {
    close(*(int *)number);
    return 0;
}

static void *fork_in_thread(void *number) {
    pid_t pid = fork();
    if (pid == 0) child(*(int *)number);
    waitpid(pid, NULL, 0);
    return NULL;
}

static void start(const char *how, char *self) {
    static char stack[65536];
    char text[16];
    int number = next++;
    pid_t pid = -1;
    if (!strcmp(how, "fork")) {
        if ((pid = fork()) == 0) child(number);
    } else if (!strcmp(how, "vfork")) {
        if ((pid = vfork()) == 0) child(number);
    } else if (!strcmp(how, "clone3")) {
        if ((pid = by_clone3()) == 0) child(number);
    } else if (!strcmp(how, "clone")) {
        pid = clone(cloned, stack + sizeof stack, SIGCHLD, &number);
    } else if (!strcmp(how, "exec")) {
        snprintf(text, sizeof text, "%d", number);
        char *words[] = {self, text, NULL};
        if ((pid = vfork()) == 0) {
            execv("/proc/self/exe", words);
            _exit(99);
        }
    } else if (!strcmp(how, "thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, fork_in_thread, &number);
        pthread_join(thread, NULL);
        return;
    } else if (!strcmp(how, "orphan")) {
        /* The parent is gone before its child does anything. */
        int ends[2];
        char byte;
        if (pipe(ends)) abort();
        if ((pid = fork()) == 0) {
            pid_t parent = getpid();
            if (fork() == 0) {
                close(ends[0]);
                while (getppid() == parent) sched_yield();
                close(number);
                if (write(ends[1], "x", 1) != 1) abort();
                _exit(0);
            }
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        close(ends[1]);
        while (read(ends[0], &byte, 1) > 0) {}
        close(ends[0]);
        return;
    } else if (!strcmp(how, "killed")) {
        if ((pid = fork()) == 0) {
            close(number);
            for (;;) pause();
        }
        kill(pid, SIGKILL);
    } else if (!strcmp(how, "crowd")) {
        pid_t pids[8];
        for (int n = 0; n < 8; n++) {
            if ((pids[n] = fork()) == 0) child(number);
            number = next++;
        }
        next--;
        for (int n = 0; n < 8; n++) waitpid(pids[n], NULL, 0);
        return;
    }
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv) {
    char how[32];
    int count;
    if (argc > 1) {
        prctl(PR_SET_NAME, "renamed");
        child(atoi(argv[1]));
    }
    puts("ready");
    fflush(stdout);
    while (scanf("%31s %d", how, &count) == 2) {
        int first = next;
        while (count--) start(how, argv[0]);
        printf("%d %d\n", first, next);
        fflush(stdout);
    }
    return 0;
}
