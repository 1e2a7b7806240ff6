// A process with many children that make calls: `callers COUNT` forks them. Each line on stdin has
// every child call access("/here-N") once, N being its number; the answer comes when all have.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { MOST = 4096 };

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 1;
    static pid_t children[MOST];
    int answers[2];
    sigset_t order;
    sigemptyset(&order);
    sigaddset(&order, SIGUSR1);
    sigprocmask(SIG_BLOCK, &order, 0);
    if (count > MOST || pipe(answers)) return 1;
    for (int number = 0; number < count; number++) {
        if ((children[number] = fork())) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char path[64];
        for (int got; !sigwait(&order, &got);) {
            snprintf(path, sizeof path, "/here-%d", number);
            access(path, F_OK);
            if (write(answers[1], "x", 1) != 1) return 1;
        }
        return 0;
    }
    puts("ready");
    fflush(stdout);
    char line[64], answer;
    while (fgets(line, sizeof line, stdin)) {
        for (int number = 0; number < count; number++) kill(children[number], SIGUSR1);
        for (int left = count; left; left--)
            if (read(answers[0], &answer, 1) != 1) return 1;
        puts("done");
        fflush(stdout);
    }
    return 0;
}
