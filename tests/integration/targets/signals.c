/* Counts real-time signals in a handler. `count` prints how many came; `end` ends it. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile _Atomic int got, wrong;

static void handler(int number, siginfo_t *info, void *context) {
    if (number == SIGRTMIN) got++;
    else wrong++;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &action, 0);
    sigaction(SIGUSR1, &action, 0);
    dprintf(1, "ready\n");
    char line[64];
    int used = 0;
    for (;;) {
        int n = read(0, line + used, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return 0;
        if (line[used] != '\n') {
            used++;
            continue;
        }
        line[used] = 0;
        used = 0;
        if (!strcmp(line, "end")) return wrong ? 9 : 6;
        dprintf(1, "%d\n", got);
    }
}
