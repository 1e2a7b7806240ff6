/* A 32-bit program without libc: makes its calls through int 0x80, after a line on stdin. */
#include <x86_64-linux-gnu/asm/unistd_32.h>

typedef unsigned int u32;
typedef unsigned long long u64;

/* The sixth argument is in ebp, which the compiler uses too. */
static long call(const long *args) {
    long result;
    __asm__ volatile("push %%ebp; mov 24(%%eax), %%ebp; mov (%%eax), %%eax; int $0x80; pop %%ebp"
                     : "=a"(result)
                     : "0"(args), "b"(args[1]), "c"(args[2]), "d"(args[3]), "S"(args[4]), "D"(args[5])
                     : "memory");
    return result;
}
#define SYS(name, ...) call((const long[7]){__NR_##name, ##__VA_ARGS__})

static char buffer[4096], other[4096];
#define BAD ((void *)0x70000000)
enum { CWD = -100, RDWR_CREAT = 0102 };

struct vec { void *base; u32 length; };
struct flock32 { short type, whence; int start, length, pid; };
struct flock64 { short type, whence; u64 start, length; int pid; } __attribute__((packed));
struct pollfd { int fd; short events, revents; };

static void files(void) {
    int fd = SYS(open, "f", RDWR_CREAT, 0640);
    SYS(creat, "g", 0600);
    SYS(openat, CWD, "f", 0);
    SYS(open, "none", 0);
    SYS(open, BAD, 0);
    SYS(write, fd, "0123456789 0123456789 0123456789 more", 37);
    SYS(lseek, fd, -5, 2);
    u64 place;
    SYS(_llseek, fd, 1, 7, &place, 0);
    SYS(_llseek, fd, -1, -1, &place, 1);
    SYS(pread64, fd, buffer, 5, 2, 0);
    SYS(pread64, fd, buffer, 5, 2, 1);
    SYS(pwrite64, fd, "abc", 3, 0, 2);
    SYS(ftruncate64, fd, 5, 1);
    SYS(truncate64, "f", 7, 0);
    SYS(ftruncate, fd, 3);
    SYS(fallocate, fd, 0, 0, 0, 4096, 0);
    SYS(fadvise64_64, fd, 1, 0, 2, 0, 3);
    SYS(fadvise64, fd, 1, 0, 2, 4);
    SYS(readahead, fd, 1, 0, 4096);
    SYS(sync_file_range, fd, 0, 0, 100, 0, 2);
    SYS(stat64, "f", buffer);
    SYS(lstat64, "none", buffer);
    SYS(fstat64, fd, buffer);
    SYS(stat, "f", buffer);
    SYS(fstat, 0, buffer);
    SYS(fstatat64, CWD, "/dev/null", buffer, 0x100);
    SYS(statx, CWD, "f", 0, 0x7ff, buffer);
    SYS(statfs64, "/proc", 84, buffer);
    SYS(fstatfs64, 0, 84, buffer);
    SYS(statfs, "/proc", buffer);
    SYS(access, "f", 4);
    SYS(dup3, fd, 20, 02000000);
    SYS(sendfile, 20, fd, &(long){1}, 2);
    SYS(sendfile64, 20, fd, &(u64){0}, 2);
    SYS(splice, fd, 0, 20, 0, 5, 1);
    struct vec out[] = {{"one", 3}, {"two", 3}}, in[] = {{buffer, 2}, {buffer + 8, 100}};
    SYS(writev, fd, out, 2);
    SYS(writev, fd, BAD, 2);
    SYS(preadv, fd, in, 2, 0, 0);
    SYS(preadv, fd, in, 2, 1, 1);
    SYS(pwritev, fd, out, 1, 4, 0);
    struct flock32 lock = {1, 0, 1, 2, 0};
    struct flock64 wide = {0, 0, 1ULL << 33, 5, 0};
    SYS(fcntl64, fd, 6, &lock);
    SYS(fcntl64, fd, 5, &lock);
    SYS(fcntl64, fd, 13, &wide);
    SYS(fcntl64, fd, 12, &wide);
    SYS(fcntl, fd, 3);
    SYS(fcntl64, fd, 1);
    SYS(utimensat, CWD, "f", (long[]){1000, 5, 2000, 6}, 0);
    SYS(utimensat_time64, CWD, "f", (u64[]){1000, 5, 2000, 6}, 0);
    SYS(utime, "f", (long[]){1000, 2000});
    SYS(utimes, "f", (long[]){1000, 5, 2000, 6});
    int folder = SYS(open, ".", 0200000);
    SYS(getdents64, folder, buffer, sizeof buffer);
    SYS(ioctl, 0, 0x5401, buffer);
    SYS(ioctl, 0, 0x541b, buffer);
    SYS(ioctl, 99, 0x8913, buffer);
    SYS(chown32, "f", -1, 0);
    SYS(mknod, "n", 0020600, 0x103);
    SYS(umask, 022);
    SYS(readlink, "/proc/self/fd/0", buffer, 0);
}

static void memory(void) {
    void *p = (void *)SYS(mmap2, 0, 8192, 3, 0x22, -1, 0);
    SYS(mmap2, 0, 4096, 1, 2, 0, 3);
    long old[] = {0, 4096, 3, 0x22, -1, 0};
    SYS(mmap, old);
    SYS(mprotect, p, 4096, 1);
    SYS(mremap, p, 8192, 16384, 1);
    SYS(munmap, 1, 4096);
    SYS(madvise, p, 4096, 4);
    SYS(brk, 0);
    SYS(mincore, p, 1, BAD);
    SYS(process_vm_readv, 1 << 30, (struct vec[]){{buffer, 4}}, 1, (struct vec[]){{other, 4}}, 1, 0);
}

static void processes(void) {
    int status;
    int pid = SYS(fork);
    if (pid == 0) SYS(exit, 3);
    SYS(wait4, pid, &status, 0, buffer);
    SYS(waitpid, -1, &status, 1);
    SYS(waitid, 0, 0, buffer, 4 | 1, 0);
    SYS(execve, "none", (char *[]){"a", "b", 0}, (char *[]){"X=1", 0});
    SYS(execve, "f", (char *[]){"a", (char *)BAD, 0}, 0);
    SYS(getuid32);
    SYS(setgroups32, 2, (int[]){1, 2});
    SYS(getgroups32, 4, buffer);
    SYS(setresuid32, -1, 0, -1);
    SYS(getresuid32, buffer, buffer + 4, buffer + 8);
    SYS(ugetrlimit, 7, buffer);
    SYS(getrlimit, 3, buffer);
    SYS(setrlimit, 4, (u32[]){1024, 0xffffffff});
    SYS(prlimit64, 0, 5, 0, buffer);
    SYS(getrusage, 0, buffer);
    SYS(uname, buffer);
    SYS(sysinfo, BAD);
    SYS(getpid);
    SYS(kill, 1 << 30, 15);
    SYS(sched_getaffinity, 0, 4, BAD);
    SYS(prctl, 15, "narrow");
    SYS(prctl, 16, buffer);
    SYS(set_thread_area, BAD);
    SYS(setpriority, 0, 1 << 30, 1);
    SYS(times, BAD);
}

static void signals(void) {
    struct { void *handler; u32 flags; void *restorer; u64 mask; } action = {(void *)1, 0x10000000, 0, 6};
    u64 set = 1 << 9 | 1ULL << 40, before;
    SYS(rt_sigaction, 10, &action, buffer, 8);
    SYS(rt_sigaction, 10, 0, buffer, 8);
    SYS(rt_sigprocmask, 0, &set, &before, 8);
    SYS(rt_sigpending, buffer, 8);
    SYS(sigprocmask, 0, 0, buffer);
    SYS(sigaltstack, (long[]){(long)buffer, 0, 4096}, other);
    SYS(rt_sigtimedwait, &set, buffer, (long[]){0, 0}, 8);
    SYS(rt_sigqueueinfo, 1 << 30, 10, buffer);
    SYS(signal, 12, 1);
    SYS(alarm, 0);
}

static void waiting(void) {
    int ends[2];
    SYS(pipe, ends);
    SYS(write, ends[1], "x", 1);
    struct pollfd fds[] = {{ends[0], 1, 0}, {ends[1], 4, 0}};
    SYS(poll, fds, 2, 0);
    u32 in[32] = {1u << ends[0]}, out[32] = {1u << ends[1]};
    SYS(_newselect, 10, in, out, 0, (long[]){0, 5});
    SYS(select, (long[]){10, (long)in, 0, 0, 0});
    int epoll = SYS(epoll_create1, 02000000);
    struct { u32 events; u64 data; } __attribute__((packed)) event = {1, 7};
    SYS(epoll_ctl, epoll, 1, ends[0], &event);
    SYS(epoll_wait, epoll, buffer, 4, 0);
    SYS(nanosleep, (long[]){0, 1000}, 0);
    SYS(clock_nanosleep, 1, 0, (long[]){0, 1000}, 0);
    SYS(clock_getres, 1, buffer);
    SYS(clock_getres_time64, 1, buffer);
    SYS(clock_gettime64, 99, buffer);
    SYS(clock_gettime, 99, buffer);
    SYS(gettimeofday, BAD, 0);
    SYS(setitimer, 0, (long[]){0, 0, 0, 0}, buffer);
    int timer = SYS(timerfd_create, 1, 04000);
    SYS(timerfd_settime64, timer, 0, (u64[]){0, 0, 0, 5}, 0);
    SYS(timerfd_settime, timer, 0, (long[]){0, 0, 0, 0}, 0);
    SYS(futex, buffer, 1, 1);
    SYS(futex, buffer, 0, 77, (long[]){0, 5});
    SYS(futex_time64, buffer, 128, 77, (u64[]){0, 5});
    SYS(eventfd2, 3, 04000);
    SYS(pselect6, 0, 0, 0, 0, (long[]){0, 0}, (long[]){0, 8});
    SYS(ppoll, fds, 1, (long[]){0, 0}, 0, 8);
}

static void sockets(void) {
    int pair[2];
    SYS(socketpair, 1, 1, 0, pair);
    struct { short family; char path[20]; } address = {1, "sock"};
    int fd = SYS(socket, 1, 2, 0);
    SYS(bind, fd, &address, sizeof address);
    SYS(connect, fd, &address, sizeof address);
    SYS(sendto, pair[0], "hello", 5, 0x4000, 0, 0);
    SYS(recvfrom, pair[1], buffer, 100, 0, 0, 0);
    struct vec parts[] = {{"a message", 9}};
    struct { void *name; u32 name_length; struct vec *parts; u32 count; void *control; u32 control_length, flags; }
        message = {0, 0, parts, 1, 0, 0, 0};
    SYS(sendmsg, pair[0], &message, 0);
    parts[0].base = buffer;
    SYS(recvmsg, pair[1], &message, 0);
    SYS(recvmsg, pair[1], &message, 0x40);
    SYS(setsockopt, pair[0], 1, 7, &(int){4096}, 4);
    SYS(getsockopt, pair[0], 1, 3, buffer, &(int){4});
    SYS(shutdown, pair[0], 1);
    SYS(getsockname, fd, buffer, &(int){100});
    SYS(accept4, fd, 0, 0, 04000);
}

void _start(void) {
    char line[16];
    SYS(write, 1, "ready\n", 6);
    if (SYS(read, 0, line, sizeof line) > 0) {
        files();
        memory();
        processes();
        signals();
        waiting();
        sockets();
        SYS(exit_group, 0);
    }
    SYS(exit_group, 2);
}
