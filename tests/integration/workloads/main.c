/* workloads NAME FOLDER: goes to the folder, waits for a line on stdin, runs the workload.
   workloads --run FOLDER PROGRAM ...: becomes the program, in namespaces and a folder as these.
   workloads --play FOLDER: makes the calls that FOLDER/script lists. */
#include "workload.h"
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

char *self;

int file_with(const char *name, const char *content) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (write(fd, content, strlen(content)) < 0) exit(3);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

void is_helper(void) {
    prctl(PR_SET_NAME, "helper");
}

void wait_until_in(int tid, long nr) {
    char path[64], seen[256];
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", getpid(), tid);
    int pid = fork();
    if (pid == 0) {
        is_helper();
        for (;;) {
            int fd = open(path, O_RDONLY);
            ssize_t got = read(fd, seen, sizeof seen - 1);
            close(fd);
            if (got > 0 && strtol(seen, 0, 10) == nr && seen[0] != 'r') _exit(0);
            usleep(1000);
        }
    }
    waitpid(pid, 0, 0);
}

void wait_until_gone(int tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d", getpid(), tid);
    int pid = fork();
    if (pid == 0) {
        is_helper();
        while (access(path, F_OK) == 0) usleep(1000);
        _exit(0);
    }
    waitpid(pid, 0, 0);
}

void deliver_child_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int child_that_exits(int code) {
    int pid = fork();
    if (pid == 0) _exit(code);
    return pid;
}

/* SIGCHLD comes when a child happens to end: blocked, it is delivered where a program asks. */
static void hold_back_child_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Networks and IPC objects of its own, so that ports and identifiers are the same in every run. */
static int own_namespaces(void) {
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUTS) != 0) return -1;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int result = ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
    return result;
}

/* A script is calls back to back, each a number of 8 bytes and six arguments: 8 bytes that are the
   value, and 4 bytes that are a length. With a length other than 0xffffffff as many bytes follow,
   and the argument is a pointer to them; when the value is 1 they end where no memory is. */
struct argument {
    uint64_t value;
    uint32_t length;
} __attribute__((packed));
enum { SLOT = 16384, NO_BYTES = 0xffffffff };

static char *script;
static size_t script_size;

static void load_script(void) {
    struct stat st;
    int fd = open("script", O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0) exit(2);
    script_size = st.st_size;
    script = mmap(0, script_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    close(fd);
}

static void play(void) {
    /* Every argument has a slot of its own, with memory that is zero around it and none behind. */
    char *slots = mmap(0, 6 * 2 * SLOT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 6; i++)
        if (munmap(slots + (2 * i + 1) * SLOT, SLOT) != 0) exit(2);
    for (const char *at = script; at < script + script_size;) {
        uint64_t nr, args[6];
        memcpy(&nr, at, sizeof nr);
        at += sizeof nr;
        for (int i = 0; i < 6; i++) {
            struct argument a;
            char *slot = slots + 2 * i * SLOT;
            memcpy(&a, at, sizeof a);
            at += sizeof a;
            args[i] = a.value;
            if (a.length == NO_BYTES) continue;
            memset(slot, 0, SLOT);
            char *place = a.value == 1 ? slot + SLOT - a.length : slot;
            memcpy(place, at, a.length);
            at += a.length;
            args[i] = (uint64_t)place;
        }
        syscall((long)nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    }
}

int main(int argc, char **argv) {
    const struct workload *all[] = {files_workloads,  memory_workloads, process_workloads,
                                    thread_workloads, signal_workloads, socket_workloads,
                                    waiting_workloads, device_workloads, system_workloads};
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
            for (const struct workload *w = all[i]; w->name; w++) puts(w->name);
        return 0;
    }
    if (argc < 3) return 2;
    self = argv[0];
    hold_back_child_signals();
    if (strcmp(argv[1], "--run") == 0) {
        if (argc < 4 || own_namespaces() != 0 || chdir(argv[2]) != 0) return 2;
        execvp(argv[3], argv + 3);
        return 2;
    }
    if (strcmp(argv[2], "-") != 0) {
        char line[16];
        if (own_namespaces() != 0 || chdir(argv[2]) != 0) return 2;
        prctl(PR_SET_DUMPABLE, 1);
        umask(022);
        int plays = strcmp(argv[1], "--play") == 0;
        if (plays) load_script();
        if (write(1, "ready\n", 6) != 6 || read(0, line, sizeof line) <= 0) return 2;
    }
    if (strcmp(argv[1], "--play") == 0) {
        play();
        SYS(exit_group, 0);
    }
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        for (const struct workload *w = all[i]; w->name; w++)
            if (strcmp(w->name, argv[1]) == 0) {
                w->run();
                SYS(exit_group, 0);
            }
    return 2;
}
