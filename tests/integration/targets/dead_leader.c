// A process whose first thread ends while a worker lives on. `dead_leader MIB [later]`: the worker
// holds so much memory, and `later` the first thread ends after a line on stdin, not at once. Each line on stdin is a number of calls access("/absent-N"), then answered;
// `exit` ends the process, `exec` has the worker execute this program anew.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char **arguments;
static pthread_t first;

static void *work(void *unused) {
    (void)unused;
    size_t size = (size_t)atol(arguments[1]) << 20;
    char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, size);
    pthread_join(first, 0);
    puts("ready");
    fflush(stdout);
    char line[64], path[64];
    int made = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "exit\n")) exit(3);
        if (!strcmp(line, "exec\n")) execv(arguments[0], arguments);
        for (int left = atoi(line); left > 0; left--) {
            snprintf(path, sizeof path, "/absent-%d", made++);
            access(path, F_OK);
        }
        printf("done %d\n", made);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return 1;
    arguments = argv;
    first = pthread_self();
    pthread_t worker;
    pthread_create(&worker, 0, work, 0);
    if (argc > 2) {
        puts("ready");
        fflush(stdout);
        for (int letter; (letter = getchar()) != '\n' && letter != EOF;);
    }
    pthread_exit(0);
}
