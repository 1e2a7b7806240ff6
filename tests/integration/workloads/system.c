/* The rest: IPC, keys, modules, numbers without a call, 32-bit calls. */
#include "workload.h"
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>

static char buffer[8192];

static void message_queues(void) {
    struct { long type; char text[64]; } message = {3, "text of a message that is longer than that"};
    struct msqid_ds ds;
    int id = SYS(msgget, IPC_PRIVATE, IPC_CREAT | 0600);
    SYS(msgget, 0x77, 0);
    SYS(msgsnd, id, &message, 10L, 0);
    SYS(msgsnd, id, &message, 42L, IPC_NOWAIT);
    SYS(msgrcv, id, &message, 64L, 0L, 0);
    SYS(msgrcv, id, &message, 64L, -5L, IPC_NOWAIT | MSG_NOERROR);
    SYS(msgrcv, id, &message, 64L, 9L, IPC_NOWAIT | 020000);
    SYS(msgsnd, id, BAD, 10L, 0);
    SYS(msgctl, 99, IPC_STAT, &ds);
    SYS(msgctl, id, IPC_RMID, NULL);
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 64}, old;
    int queue = SYS(mq_open, "queue", O_RDWR | O_CREAT, 0600, &attr);
    SYS(mq_open, "missing", O_RDONLY);
    SYS(mq_timedsend, queue, "priority", 8L, 7, NULL);
    unsigned priority;
    SYS(mq_timedreceive, queue, buffer, 64L, &priority, NULL);
    struct timespec past = {1, 0};
    SYS(mq_timedreceive, queue, buffer, 64L, &priority, &past);
    SYS(mq_timedreceive, queue, buffer, 1L, NULL, NULL);
    SYS(mq_getsetattr, queue, NULL, &old);
    attr.mq_flags = O_NONBLOCK;
    SYS(mq_getsetattr, queue, &attr, &old);
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    SYS(mq_notify, queue, &event);
    SYS(mq_notify, queue, NULL);
    SYS(mq_unlink, "queue");
    SYS(mq_unlink, "queue");
}

static void semaphores(void) {
    int id = SYS(semget, IPC_PRIVATE, 2, IPC_CREAT | 0600);
    struct sembuf operations[] = {{0, 1, 0}, {1, 2, SEM_UNDO}, {0, -1, IPC_NOWAIT | SEM_UNDO}};
    struct timespec none = {0, 0};
    SYS(semop, id, operations, 3);
    SYS(semtimedop, id, operations, 1, &none);
    SYS(semtimedop, id, (struct sembuf[]){{1, 0, IPC_NOWAIT}}, 1, NULL);
    SYS(semop, id, BAD, 1);
    SYS(semop, 99, operations, 0);
    SYS(semctl, id, 0, GETVAL, 0L);
    SYS(semctl, id, 1, SETVAL, 5L);
    SYS(semctl, id, 0, GETPID, 0L);
    SYS(semctl, id, 0, 77, 0L);
    SYS(semctl, id, 0, IPC_RMID, 0L);
    SYS(semget, 0x88, 1, IPC_EXCL | 0x8000);
}

static void keys(void) {
    SYS(add_key, "user", "name of key", "payload", 7L, 0x7fffffff);
    SYS(add_key, "nokind", "name", NULL, 0L, -3);
    SYS(request_key, "user", "missing", NULL, 0);
    SYS(keyctl, 0, 77L, 0L);
    SYS(keyctl, 1, BAD);
    SYS(keyctl, 2, -5L, "payload", 7L);
    SYS(keyctl, 3, 77L);
    SYS(keyctl, 4, 77L, 0, 0);
    SYS(keyctl, 5, 77L, 0x3f3f0000L);
    SYS(keyctl, 6, 77L, buffer, 100L);
    SYS(keyctl, 8, 77L, -3L);
    SYS(keyctl, 10, 77L, "user", "name", 0L);
    SYS(keyctl, 15, 77L, 10L);
    SYS(keyctl, 11, -1L, buffer, 64L);
    SYS(keyctl, 77, 1L, 2L, 3L, 4L);
}

static void administration(void) {
    union bpf_attr attr;
    struct perf_event_attr perf = {.type = PERF_TYPE_SOFTWARE, .size = sizeof perf};
    memset(&attr, 0, sizeof attr);
    SYS(init_module, BAD, 10L, "option=1");
    SYS(finit_module, 99, "", 1);
    SYS(delete_module, "no_such_module", O_NONBLOCK);
    SYS(kexec_load, 0L, 100L, NULL, 0L);
    SYS(kexec_file_load, 99, 98, 5L, "text", 0L);
    SYS(reboot, 1, 2, 3, NULL);
    SYS(syslog, 10, NULL, 0);
    SYS(syslog, 99, NULL, 0);
    SYS(settimeofday, NULL, NULL);
    SYS(lookup_dcookie, 1L, buffer, 10L);
    SYS(quotactl_fd, 99, 0x80000700, 0, NULL);
    SYS(perf_event_open, NULL, 0, -1, -1, 0UL);
    SYS(perf_event_open, BAD, 0, -1, -1, 8UL);
    (void)perf;
    SYS(bpf, 0, NULL, 0);
    SYS(bpf, 77, &attr, 8);
    SYS(landlock_create_ruleset, NULL, 0L, 1);
    SYS(landlock_add_rule, 99, 1, NULL, 0);
    SYS(landlock_restrict_self, 99, 0);
}

static void unknown_calls(void) {
    long numbers[] = {390, 400, 999, 5000, 0x40000000 - 1};
    for (int i = 0; i < 5; i++) syscall(numbers[i], 1L, 0x2222L, -1L, 0L, 5L, 6L);
    SYS(tuxcall, 1, 2, 3);
    SYS(nfsservctl, 1L, 2L, 3L);
    SYS(getpmsg, 1, 2, 3, 4, 5);
    SYS(_sysctl, NULL);
}

static void bad_pointers(void) {
    void *pointers[] = {NULL, LOW, BAD, (void *)-1, (void *)0xffff800000000000};
    for (int i = 0; i < 5; i++) {
        void *p = pointers[i];
        SYS(openat, AT_FDCWD, p, O_RDONLY);
        SYS(write, 1, p, 5);
        SYS(stat, p, p);
        SYS(access, p, R_OK);
        SYS(rename, p, p);
        SYS(nanosleep, p, p);
        SYS(rt_sigaction, SIGUSR1, p, p, 8L);
        SYS(rt_sigprocmask, SIG_BLOCK, p, p, 8L);
        SYS(setrlimit, 3, p);
        SYS(uname, p);
        SYS(connect, 99, p, 16);
        SYS(sendmsg, 99, p, 0);
        SYS(poll, p, 1, 0);
        SYS(epoll_ctl, 99, 1, 98, p);
        SYS(futex, p, 1, 1);
        SYS(capget, p, p);
        SYS(execve, p, p, p);
        SYS(pipe2, p, 0);
        SYS(utimensat, AT_FDCWD, p, p, 0);
        SYS(getcwd, p, 100L);
        SYS(readlink, p, p, 10L);
        SYS(mount, p, p, p, 0L, p);
    }
}

/* 32-bit calls: int 0x80 with memory below 4 GiB. */
static long int80(long nr, long a, long b, long c, long d) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static void compat_calls(void) {
    char *low = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    long at = (long)low;
    strcpy(low, "/etc/passwd");
    int fd = int80(5, at, O_RDONLY, 0, 0);
    int80(295, AT_FDCWD, at, O_RDONLY | O_CLOEXEC, 0);
    int80(3, fd, at + 100, 10, 0);
    int80(19, fd, 5, SEEK_SET, 0);
    int80(140, fd, 0, 7, at + 200);
    int80(195, at, at + 256, 0, 0);
    int80(197, fd, at + 256, 0, 0);
    int80(6, fd, 0, 0, 0);
    int80(6, fd, 0, 0, 0);
    int80(20, 0, 0, 0, 0);
    int80(199, 0, 0, 0, 0);
    int80(33, at, R_OK, 0, 0);
    strcpy(low, "none");
    int80(5, at, O_RDWR | O_CREAT, 0600, 0);
    int80(122, at + 512, 0, 0, 0);
    memset(low + 1024, 0, 64);
    int80(162, at + 1024, at + 1032, 0, 0);
    int80(265, CLOCK_MONOTONIC + 99, at + 1024, 0, 0);
    int80(174, SIGUSR1, 0, at + 1100, 8);
    int80(175, SIG_BLOCK, 0, at + 1100, 8);
    int80(168, 0, 0, 0, 0);
    int80(191, 3, at + 1100, 0, 0);
    int80(340, 0, 3, 0, at + 1100);
    ((int *)(low + 1200))[0] = (int)at;
    ((int *)(low + 1200))[1] = 4;
    int80(146, 99, at + 1200, 1, 0);
    int80(102, 1, 0, 0, 0);
    int80(359, AF_INET, SOCK_STREAM, 0, 0);
    int80(91, at + 4096, 4096, 0, 0);
    int80(45, 0, 0, 0, 0);
    int80(4, 99, at, 4, 0);
    int80(4, 99, 1, 4, 0);
    int80(240, at, 1, 1, 0);
    int80(221, 99, F_GETFL, 0, 0);
    int80(999, 1, 2, 3, 4);
    int80(11, at, 0, 0, 0);
    int80(252, 3, 0, 0, 0);
}

const struct workload system_workloads[] = {
    {"message_queues", message_queues}, {"semaphores", semaphores}, {"keys", keys},
    {"administration", administration}, {"unknown_calls", unknown_calls},
    {"bad_pointers", bad_pointers}, {"compat_calls", compat_calls}, {0, 0}};
