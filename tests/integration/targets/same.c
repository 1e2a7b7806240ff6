/* Makes the same system calls in every run, one of each kind of memory they point to.
 *
 * same FOLDER: waits for a line, then works in FOLDER. Exit code 7. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void handler(int number) { (void)number; }

int main(int argc, char **argv) {
    char line[16], long_path[300], block[4000];
    if (argc != 2 || chdir(argv[1])) return 2;
    puts("ready");
    fflush(stdout);
    if (read(0, line, 3) != 3) return 2;
    memset(block, 'b', sizeof block);
    memset(long_path, 'p', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    int file = open("file", O_RDWR | O_CREAT, 0600);
    for (int i = 0; i < 8; i++) if (write(file, block, 1 << i) < 0) return 3;
    if (write(file, block, sizeof block) < 0) return 3;
    struct iovec parts[3] = {{"first", 5}, {0, 0}, {"second part", 11}};
    if (writev(file, parts, 3) != 16) return 3;
    lseek(file, 0, SEEK_SET);
    struct iovec into[2] = {{line, 4}, {block, 100}};
    if (readv(file, into, 2) != 104) return 3;
    if (pread(file, block, 64, 5) != 64) return 3;
    if (open(long_path, O_RDONLY) >= 0 || open((char *)8, O_RDONLY) >= 0) return 3;
    if (open("", O_RDONLY) >= 0 || syscall(SYS_read, file, 16L, 5L) >= 0) return 3;
    struct stat status;
    stat("file", &status);
    struct utsname name;
    uname(&name);
    if (!getcwd(block, sizeof block)) return 3;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    cpu_set_t cpus;
    sched_getaffinity(0, sizeof cpus, &cpus);
    prctl(PR_SET_NAME, "renamed");
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    struct msghdr message = {0};
    message.msg_iov = parts;
    message.msg_iovlen = 3;
    if (sendmsg(pair[0], &message, 0) != 16) return 4;
    struct sockaddr_un from;
    struct msghdr back = {0};
    back.msg_name = &from;
    back.msg_namelen = sizeof from;
    back.msg_iov = into;
    back.msg_iovlen = 2;
    if (recvmsg(pair[1], &back, 0) != 16) return 4;
    struct sockaddr_un nowhere = {AF_UNIX, "nowhere"};
    if (!connect(pair[0], (struct sockaddr *)&nowhere, 10)) return 4;
    struct pollfd waited = {pair[1], POLLIN, 0};
    poll(&waited, 1, 0);
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLOUT, {.u64 = 77}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event);
    epoll_wait(epoll, &event, 1, 0);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pair[1], &set);
    struct timeval none = {0, 5};
    select(pair[1] + 1, &set, 0, 0, &none);
    struct timespec moment = {0, 1000};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    pselect(0, 0, 0, 0, &moment, &signals);
    nanosleep(&moment, 0);
    struct flock lock = {F_WRLCK, SEEK_SET, 1, 2, 0};
    fcntl(file, F_SETLK, &lock);
    int waiting;
    ioctl(pair[1], FIONREAD, &waiting);
    struct sigaction action = {0};
    action.sa_handler = handler;
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    char entries[4096];
    int folder = open(".", O_RDONLY | O_DIRECTORY);
    if (syscall(SYS_getdents64, folder, entries, sizeof entries) <= 0) return 5;
    char *words[] = {"program", "one", "two words", 0};
    char *variables[] = {"A=1", "B=2", 0};
    execve("./missing", words, variables);
    unlink("file");
    return 7;
}
