/* Files, directories, descriptors. */
#include "workload.h"
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <utime.h>

static char buffer[8192];

static void open_read_write(void) {
    int fd = open("a file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    SYS(write, fd, "short\n", 6);
    SYS(write, fd, "exactly thirty-two bytes long...", 32);
    SYS(write, fd, "thirty-three bytes long, with end", 33);
    SYS(write, fd, "", 0);
    SYS(lseek, fd, 0L, SEEK_SET);
    SYS(read, fd, buffer, 5);
    SYS(read, fd, buffer, sizeof buffer);
    SYS(read, fd, buffer, sizeof buffer);
    SYS(lseek, fd, -3L, SEEK_END);
    SYS(lseek, fd, -100L, SEEK_CUR);
    SYS(lseek, fd, 0L, SEEK_DATA);
    SYS(lseek, fd, 0L, SEEK_HOLE);
    SYS(lseek, fd, 0L, 77);
    SYS(pread64, fd, buffer, 7, 3L);
    SYS(pwrite64, fd, "xyz", 3, 1L << 33);
    SYS(pread64, fd, buffer, 7, -1L);
    SYS(fsync, fd);
    SYS(fdatasync, fd);
    SYS(syncfs, fd);
    SYS(close, fd);
    SYS(close, fd);
    SYS(read, -1, buffer, 5);
    SYS(creat, "created", 0600);
    SYS(creat, "created", 04755);
}

static void open_flags(void) {
    int flags[] = {0, O_WRONLY, O_RDWR, 3, O_APPEND, O_TRUNC | O_RDWR, O_NONBLOCK | O_NOCTTY, O_SYNC,
                   O_DSYNC, O_DIRECT, O_LARGEFILE, O_NOATIME, O_NOFOLLOW, O_PATH, O_ASYNC,
                   O_DIRECTORY, O_CREAT, O_CREAT | O_EXCL, O_TMPFILE | O_RDWR, 1 << 27};
    close(file_with("f", "text"));
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        int fd = SYS(openat, AT_FDCWD, "f", flags[i], 0644);
        if (fd >= 0) SYS(close, fd);
    }
    int plain = SYS(open, "f", O_RDONLY);
    SYS(close, plain);
    SYS(open, "f", O_RDWR | O_CREAT, 0);
    SYS(openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600);
    SYS(openat, 99, "f", O_RDONLY | O_CLOEXEC);
    SYS(openat, -5, "/etc/passwd", O_RDONLY);
}

static void open_errors(void) {
    SYS(open, "/nowhere/at/all", O_RDONLY);
    SYS(openat, AT_FDCWD, "", O_RDONLY);
    SYS(openat, AT_FDCWD, NULL, O_RDONLY);
    SYS(openat, AT_FDCWD, BAD, O_RDONLY);
    SYS(openat, AT_FDCWD, LOW, O_RDONLY | O_CREAT, 0600);
    SYS(openat, AT_FDCWD, "/", O_WRONLY);
    SYS(openat, AT_FDCWD, "/etc/passwd/x", O_RDONLY);
    SYS(mkdir, "d", 0);
    SYS(openat, AT_FDCWD, "d", O_RDONLY | O_NOFOLLOW | O_DIRECTORY);
    symlink("loop", "loop");
    SYS(openat, AT_FDCWD, "loop", O_RDONLY);
    memset(buffer, 'x', 5000);
    SYS(openat, AT_FDCWD, buffer, O_RDONLY);
    buffer[4095] = 0;
    SYS(openat, AT_FDCWD, buffer, O_RDONLY);
    buffer[300] = 0;
    SYS(openat, AT_FDCWD, buffer, O_RDONLY);
    /* A path of 1 MiB, with what a terminal would act on. */
    size_t large = 1 << 20;
    char *path = mmap(0, large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < large - 1; i++) path[i] = "\033]0;x\007\377/"[i % 8];
    SYS(openat, AT_FDCWD, path, O_RDONLY);
    SYS(rename, path, path);
    SYS(execve, path, NULL, NULL);
    SYS(write, 99, path, large);
}

static void openat2_how(void) {
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    close(file_with("f", "text"));
    SYS(openat2, AT_FDCWD, "f", &how, sizeof how);
    SYS(openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how);
    how = (struct open_how){.flags = O_CREAT | O_RDWR, .mode = 0600, .resolve = 0};
    SYS(openat2, AT_FDCWD, "g", &how, sizeof how);
    how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_IN_ROOT |
                  RESOLVE_CACHED;
    SYS(openat2, AT_FDCWD, "f", &how, sizeof how);
    how.resolve = 0x100;
    SYS(openat2, AT_FDCWD, "f", &how, sizeof how);
    SYS(openat2, AT_FDCWD, "f", &how, 8);
    SYS(openat2, AT_FDCWD, "f", NULL, sizeof how);
    SYS(openat2, AT_FDCWD, "f", BAD, sizeof how);
}

static void escapes(void) {
    int fd = open("/dev/null", O_WRONLY);
    for (int i = 0; i < 256; i++) buffer[i] = (char)i;
    for (int i = 0; i < 256; i += 16) SYS(write, fd, buffer + i, 16);
    SYS(write, fd, "\1\2\0019\0017\033[31mred\033[0m", 18);
    SYS(write, fd, "tab\tnew\nquote\"back\\slash\r\f\v\a", 28);
    SYS(write, fd, "\0\0\0\0a", 5);
    SYS(write, fd, "\377\376\200\1771", 5);
    SYS(openat, AT_FDCWD, "caf\303\251/\033]0;title\007\n", O_RDONLY);
    SYS(openat, AT_FDCWD, "\377\0010\1\0018 \"q\" \\", O_RDONLY);
    SYS(mkdir, "umlaut \344\366\374", 0755);
    SYS(write, fd, BAD, 10);
    SYS(write, fd, NULL, 10);
    char *edge = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    memcpy(edge + 4086, "0123456789", 10);
    SYS(write, fd, edge + 4086, 20);
    SYS(openat, AT_FDCWD, edge + 4086, O_RDONLY);
    SYS(write, fd, edge + 4086, 10);
}

static void vectors(void) {
    int fd = open("v", O_RDWR | O_CREAT, 0600);
    static struct iovec out[40] = {{"one", 3}, {"", 0}, {"two and a half, longer than thirty-two", 38}, {NULL, 0}};
    SYS(writev, fd, out, 4);
    SYS(writev, fd, out, 0);
    SYS(writev, fd, NULL, 1);
    SYS(writev, fd, BAD, 2);
    SYS(writev, fd, out, -1);
    struct iovec in[] = {{buffer, 5}, {buffer + 100, 10}, {buffer + 200, 500}};
    SYS(lseek, fd, 0L, SEEK_SET);
    SYS(readv, fd, in, 3);
    SYS(readv, fd, in, 3);
    SYS(preadv, fd, in, 2, 2L);
    SYS(pwritev, fd, out, 1, 100L);
    SYS(preadv2, fd, in, 2, 0L, 0L, 0);
    SYS(preadv2, fd, in, 2, 0L, 0L, 8 | 1);
    SYS(pwritev2, fd, out, 1, -1L, -1L, 0x10);
    SYS(pwritev2, fd, out, 1, 0L, 0L, 0x4000);
    struct iovec bad[] = {{"good", 4}, {BAD, 4}};
    SYS(writev, fd, bad, 2);
    static struct iovec many[40];
    for (int i = 0; i < 40; i++) many[i] = (struct iovec){"ab", 2};
    SYS(writev, fd, many, 40);
    SYS(vmsplice, fd, out, 2, 0);
}

static void stats(void) {
    struct stat st;
    close(file_with("f", "12345"));
    symlink("f", "l");
    mkfifo("p", 0644);
    chmod("f", 06755);
    mkdir("sticky", 01777);
    chmod("sticky", 01777);
    SYS(stat, "f", &st);
    SYS(lstat, "l", &st);
    SYS(stat, "p", &st);
    SYS(stat, "sticky", &st);
    SYS(stat, "/dev/null", &st);
    SYS(stat, "none", &st);
    SYS(stat, "f", NULL);
    SYS(stat, BAD, &st);
    int fd = open("f", O_RDONLY);
    SYS(fstat, fd, &st);
    SYS(fstat, 0, &st);
    SYS(fstat, -1, &st);
    SYS(newfstatat, AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW);
    SYS(newfstatat, fd, "", &st, AT_EMPTY_PATH);
    SYS(newfstatat, AT_FDCWD, "f", &st, AT_NO_AUTOMOUNT | 0x20000);
    int s[2];
    pipe(s);
    SYS(fstat, s[0], &st);
}

static void statx_masks(void) {
    static struct statx sx;
    close(file_with("f", "12345"));
    SYS(statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS, &sx);
    SYS(statx, AT_FDCWD, "f", AT_STATX_SYNC_AS_STAT | AT_SYMLINK_NOFOLLOW, STATX_ALL, &sx);
    SYS(statx, AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_MODE | STATX_SIZE, &sx);
    SYS(statx, AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_TYPE, &sx);
    SYS(statx, AT_FDCWD, "/dev/null", AT_NO_AUTOMOUNT, STATX_INO | STATX_BTIME, &sx);
    SYS(statx, 0, "", AT_EMPTY_PATH, 0, &sx);
    SYS(statx, AT_FDCWD, "none", 0, STATX_ALL, &sx);
    SYS(statx, AT_FDCWD, "f", 0, 0x80000000, &sx);
    SYS(statx, AT_FDCWD, "f", 0, STATX_ALL, NULL);
    SYS(statx, AT_FDCWD, "f", 0, STATX_ALL, BAD);
}

static void links(void) {
    close(file_with("f", "x"));
    SYS(link, "f", "g");
    SYS(link, "f", "g");
    SYS(symlink, "f", "s");
    SYS(readlink, "s", buffer, sizeof buffer);
    SYS(symlink, "a rather long target that is longer than thirty-two bytes", "s2");
    SYS(readlink, "s2", buffer, sizeof buffer);
    SYS(readlink, "s2", buffer, 10);
    SYS(readlink, "f", buffer, sizeof buffer);
    SYS(readlinkat, AT_FDCWD, "s", buffer, 0);
    SYS(readlinkat, AT_FDCWD, "s", buffer, 100);
    SYS(linkat, AT_FDCWD, "s", AT_FDCWD, "h", AT_SYMLINK_FOLLOW);
    SYS(linkat, 5, "", AT_FDCWD, "h2", AT_EMPTY_PATH);
    SYS(symlinkat, "f", AT_FDCWD, "s3");
    SYS(unlink, "g");
    SYS(unlink, "g");
    SYS(unlinkat, AT_FDCWD, "h", 0);
    SYS(unlinkat, AT_FDCWD, ".", AT_REMOVEDIR);
    SYS(unlinkat, AT_FDCWD, "h", 0x1);
    SYS(rename, "f", "f2");
    SYS(renameat, AT_FDCWD, "f2", AT_FDCWD, "f3");
    SYS(renameat2, AT_FDCWD, "f3", AT_FDCWD, "s", 1);
    SYS(renameat2, AT_FDCWD, "f3", AT_FDCWD, "s", 2);
    SYS(renameat2, AT_FDCWD, "f3", AT_FDCWD, "s", 0x18);
    SYS(rename, "nothing", "s");
}

static void directories(void) {
    SYS(mkdir, "d", 0777);
    SYS(mkdir, "d", 0777);
    SYS(mkdirat, AT_FDCWD, "d/e", 0700);
    close(file_with("d/one", ""));
    close(file_with("d/two", ""));
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    SYS(getdents64, fd, buffer, sizeof buffer);
    SYS(getdents64, fd, buffer, sizeof buffer);
    SYS(lseek, fd, 0L, SEEK_SET);
    SYS(getdents, fd, buffer, sizeof buffer);
    SYS(getdents64, fd, buffer, 1);
    SYS(getdents64, 0, buffer, sizeof buffer);
    SYS(fchdir, fd);
    SYS(getcwd, buffer, 2);
    SYS(chdir, "..");
    SYS(chdir, "nowhere");
    SYS(chdir, "/");
    SYS(getcwd, buffer, sizeof buffer);
    SYS(rmdir, "/");
    SYS(chroot, "nowhere");
    SYS(umask, 077);
    SYS(umask, 022);
}

static void modes_and_owners(void) {
    int fd = file_with("f", "x");
    SYS(chmod, "f", 0);
    SYS(chmod, "f", 07777);
    SYS(fchmod, fd, 0644);
    SYS(fchmodat, AT_FDCWD, "f", 0600);
    SYS(fchmodat, AT_FDCWD, "none", 0600);
    SYS(chown, "f", -1, -1);
    SYS(lchown, "f", 0, 0);
    SYS(fchown, fd, 65534, 12);
    SYS(fchownat, AT_FDCWD, "f", -1, 0, AT_SYMLINK_NOFOLLOW);
    SYS(fchownat, AT_FDCWD, "f", -1, 0, 0x8000);
    SYS(access, "f", F_OK);
    SYS(access, "f", R_OK | W_OK | X_OK);
    SYS(access, "none", R_OK);
    SYS(access, "f", 0x18);
    SYS(faccessat, AT_FDCWD, "f", X_OK);
    SYS(faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS);
    SYS(faccessat2, AT_FDCWD, "", R_OK, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    SYS(mknod, "fifo", S_IFIFO | 0600, 0);
    SYS(mknod, "node", S_IFCHR | 0600, 0x103);
    SYS(mknodat, AT_FDCWD, "node2", S_IFBLK | 0600, 0x10203);
    SYS(mknodat, AT_FDCWD, "sock", S_IFSOCK | 0644, 0);
    SYS(mknod, "dir", S_IFDIR | 0600, 0);
    SYS(mknod, "plain", 0600, 0);
}

static void attributes(void) {
    int fd = file_with("f", "x");
    SYS(setxattr, "f", "trusted.one", "value", 5, 0);
    SYS(setxattr, "f", "trusted.one", "value", 5, XATTR_CREATE);
    SYS(setxattr, "f", "trusted.none", "v\0w", 3, XATTR_REPLACE);
    SYS(lsetxattr, "f", "trusted.two", "a value that is longer than thirty-two bytes", 44, 0);
    SYS(fsetxattr, fd, "trusted.three", NULL, 0, 0);
    SYS(getxattr, "f", "trusted.one", buffer, 100);
    SYS(getxattr, "f", "trusted.two", buffer, 100);
    SYS(getxattr, "f", "trusted.two", NULL, 0);
    SYS(lgetxattr, "f", "trusted.two", buffer, 5);
    SYS(fgetxattr, fd, "trusted.none", buffer, 100);
    SYS(listxattr, "f", NULL, 0);
    SYS(listxattr, "f", buffer, 1000);
    SYS(flistxattr, fd, buffer, 1);
    SYS(llistxattr, "none", buffer, 10);
    SYS(removexattr, "f", "trusted.one");
    SYS(lremovexattr, "f", "trusted.one");
    SYS(fremovexattr, fd, "trusted.two");
}

static void sizes(void) {
    int fd = file_with("f", "0123456789");
    SYS(truncate, "f", 5L);
    SYS(ftruncate, fd, 1L << 32);
    SYS(ftruncate, fd, -1L);
    SYS(ftruncate, fd, 0L);
    SYS(fallocate, fd, 0, 0L, 4096L);
    SYS(fallocate, fd, 1 | 2, 0L, 4096L);
    SYS(fallocate, fd, 8, 0L, 0L);
    SYS(fallocate, fd, 0x4000, 0L, 4096L);
    SYS(fadvise64, fd, 0L, 4096L, 3);
    SYS(fadvise64, fd, 0L, 4096L, 33);
    SYS(readahead, fd, 0L, 4096);
    SYS(sync_file_range, fd, 0L, 4096L, 7);
    SYS(sync_file_range, fd, 0L, 4096L, 0x80);
    SYS(flock, fd, LOCK_SH);
    SYS(flock, fd, LOCK_EX | LOCK_NB);
    SYS(flock, fd, LOCK_UN);
    SYS(flock, fd, 0x77);
    struct statfs fs;
    SYS(statfs, "/proc", &fs);
    SYS(fstatfs, 0, &fs);
    SYS(statfs, "none", &fs);
    SYS(statfs, "/proc", NULL);
}

static void descriptors(void) {
    int fd = file_with("f", "x");
    int ends[2];
    SYS(dup, fd);
    SYS(dup2, fd, 20);
    SYS(dup3, fd, 21, O_CLOEXEC);
    SYS(dup3, fd, 21, 1);
    SYS(dup3, fd, fd, 0);
    SYS(dup, 77);
    SYS(pipe, ends);
    SYS(pipe2, ends, O_DIRECT);
    SYS(pipe2, ends, O_CLOEXEC | O_NONBLOCK);
    SYS(pipe2, ends, 0x7);
    SYS(pipe, NULL);
    SYS(pipe2, BAD, 0);
    SYS(read, ends[0], buffer, 10);
    SYS(write, ends[1], "through the pipe", 16);
    SYS(read, ends[0], buffer, 100);
    SYS(close_range, 20, 30, 0);
    SYS(close_range, 50, ~0U, 2 | 4);
    SYS(close_range, 30, 20, 0x10);
}

static void fcntls(void) {
    int fd = file_with("f", "0123456789");
    SYS(fcntl, fd, F_GETFD);
    SYS(fcntl, fd, F_SETFD, FD_CLOEXEC);
    SYS(fcntl, fd, F_GETFD);
    SYS(fcntl, fd, F_SETFD, 3);
    SYS(fcntl, fd, F_GETFL);
    SYS(fcntl, fd, F_SETFL, O_RDWR | O_APPEND | O_NONBLOCK);
    SYS(fcntl, fd, F_GETFL);
    SYS(fcntl, fd, F_DUPFD, 10);
    SYS(fcntl, fd, F_DUPFD_CLOEXEC, 10);
    SYS(fcntl, fd, F_SETOWN, getpid());
    SYS(fcntl, fd, F_GETOWN);
    SYS(fcntl, fd, F_SETSIG, SIGUSR1);
    SYS(fcntl, fd, F_SETSIG, 0);
    SYS(fcntl, fd, F_GETSIG);
    SYS(fcntl, fd, F_SETLEASE, F_RDLCK);
    SYS(fcntl, fd, F_GETLEASE);
    SYS(fcntl, fd, F_NOTIFY, DN_ACCESS);
    struct f_owner_ex owner = {F_OWNER_PID, getpid()};
    SYS(fcntl, fd, F_SETOWN_EX, &owner);
    SYS(fcntl, fd, F_GETOWN_EX, &owner);
    SYS(fcntl, fd, F_SETOWN_EX, NULL);
    int ends[2];
    pipe(ends);
    SYS(fcntl, ends[0], F_GETPIPE_SZ);
    SYS(fcntl, ends[0], F_SETPIPE_SZ, 8192);
    uint64_t hint = 2;
    SYS(fcntl, fd, F_SET_RW_HINT, &hint);
    SYS(fcntl, fd, F_GET_RW_HINT, &hint);
    SYS(fcntl, fd, 7777, 5);
    SYS(fcntl, 99, F_GETFL);
    int m = SYS(memfd_create, "sealed", 2);
    SYS(fcntl, m, F_ADD_SEALS, 1 | 2 | 4 | 8);
    SYS(fcntl, m, F_GET_SEALS);
    SYS(fcntl, m, F_ADD_SEALS, 0x40);
    SYS(fcntl, fd, F_GET_SEALS);
}

static void locks(void) {
    int fd = file_with("f", "0123456789");
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 5};
    SYS(fcntl, fd, F_SETLK, &lock);
    SYS(fcntl, fd, F_GETLK, &lock);
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -2};
    SYS(fcntl, fd, F_SETLKW, &lock);
    lock.l_type = F_UNLCK;
    SYS(fcntl, fd, F_SETLK, &lock);
    lock = (struct flock){.l_type = F_WRLCK};
    SYS(fcntl, fd, F_OFD_SETLK, &lock);
    SYS(fcntl, fd, F_OFD_GETLK, &lock);
    SYS(fcntl, fd, F_OFD_SETLKW, &lock);
    lock.l_type = 17;
    SYS(fcntl, fd, F_SETLK, &lock);
    SYS(fcntl, fd, F_GETLK, &lock);
    SYS(fcntl, fd, F_SETLK, NULL);
    SYS(fcntl, fd, F_GETLK, BAD);
}

static void copies(void) {
    int from = file_with("from", "0123456789 0123456789 0123456789"), to = file_with("to", "");
    off_t offset = 3;
    loff_t other = 1;
    SYS(sendfile, to, from, &offset, 10);
    SYS(sendfile, to, from, NULL, 100);
    SYS(sendfile, to, 99, &offset, 10);
    SYS(sendfile, to, from, BAD, 10);
    SYS(copy_file_range, from, &other, to, NULL, 5, 0);
    SYS(copy_file_range, from, &other, to, &other, 5, 8);
    SYS(copy_file_range, from, NULL, to, NULL, 5, 0);
    int ends[2], more[2];
    pipe(ends);
    pipe(more);
    other = 2;
    SYS(splice, from, &other, ends[1], NULL, 8, 1);
    SYS(tee, ends[0], more[1], 8, 2);
    SYS(splice, ends[0], NULL, to, NULL, 100, 4 | 8);
    SYS(splice, from, NULL, to, NULL, 100, 0x100);
    struct iovec part = {"into the pipe", 13};
    SYS(vmsplice, ends[1], &part, 1, 8);
    SYS(vmsplice, ends[1], BAD, 1, 0);
}

static void file_times(void) {
    int fd = file_with("f", "");
    struct timespec ns[2] = {{1000000000, 123456789}, {0, UTIME_OMIT}};
    struct timeval us[2] = {{1000000000, 5}, {2000000000, 0}};
    struct utimbuf both = {1, 1500000000};
    SYS(utimensat, AT_FDCWD, "f", ns, 0);
    ns[0].tv_nsec = UTIME_NOW;
    SYS(utimensat, fd, NULL, ns, AT_SYMLINK_NOFOLLOW);
    ns[1].tv_nsec = -1;
    SYS(utimensat, AT_FDCWD, "f", ns, 0);
    SYS(utimensat, AT_FDCWD, "f", NULL, 0x1000);
    SYS(utimensat, AT_FDCWD, "f", BAD, 0);
    SYS(utimes, "f", us);
    SYS(futimesat, AT_FDCWD, "f", us);
    us[1].tv_usec = 1000000;
    SYS(utimes, "f", us);
    SYS(utime, "f", &both);
    SYS(utime, "none", NULL);
}

static void watches(void) {
    mkdir("d", 0755);
    int fd = SYS(inotify_init1, IN_NONBLOCK | IN_CLOEXEC);
    SYS(inotify_init1, 1);
    int wd = SYS(inotify_add_watch, fd, "d", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
    SYS(inotify_add_watch, fd, "none", IN_ALL_EVENTS);
    SYS(inotify_add_watch, fd, "d", IN_ONLYDIR | IN_MASK_ADD | IN_ONESHOT | IN_CLOSE);
    SYS(inotify_add_watch, fd, "d", 0x800000);
    SYS(read, fd, buffer, 100);
    SYS(inotify_rm_watch, fd, wd);
    SYS(inotify_rm_watch, fd, 99);
    int fan = SYS(fanotify_init, 0, O_RDONLY);
    SYS(fanotify_init, 4 | 1 | 2, O_RDONLY | O_LARGEFILE);
    SYS(fanotify_init, 0x10000, O_RDWR);
    SYS(fanotify_mark, fan, 1, 0x20UL, AT_FDCWD, "d");
    SYS(fanotify_mark, fan, 2 | 0x10, 0x8000001UL, AT_FDCWD, NULL);
    SYS(fanotify_mark, fan, 0x1000, 0x20UL, 9, "d");
}

static void handles(void) {
    struct { unsigned bytes; int type; unsigned char data[128]; } handle = {128, 0, {0}};
    int mount;
    close(file_with("f", ""));
    SYS(name_to_handle_at, AT_FDCWD, "none", &handle, &mount, 0);
    SYS(name_to_handle_at, AT_FDCWD, "f", NULL, &mount, AT_SYMLINK_FOLLOW);
    handle.bytes = 0;
    SYS(name_to_handle_at, AT_FDCWD, "f", BAD, NULL, AT_EMPTY_PATH);
    SYS(open_by_handle_at, -1, BAD, O_RDONLY);
    SYS(mount, "none", "nowhere", "tmpfs", 1 | 2 | 4 | 8, "size=1m");
    SYS(mount, NULL, "nowhere", NULL, 0x20 | 0x1000, NULL);
    SYS(mount, "/a", "/b", NULL, 0x2000, NULL);
    SYS(umount2, "nowhere", 1 | 2 | 8);
    SYS(umount2, "nowhere", 0);
    SYS(pivot_root, "nowhere", "nowhere/old");
    SYS(swapon, "nowhere", 0x8005);
    SYS(swapoff, "nowhere");
    SYS(quotactl, 0x80000700, "/dev/none", 0, 0);
    SYS(acct, "/nowhere");
    SYS(ustat, 0xffffUL, BAD);
    SYS(sysfs, 3);
    SYS(uselib, "none");
    SYS(fsopen, "nofs", 1);
    SYS(fsconfig, 99, 0, "key", NULL, 0);
    SYS(fsmount, 99, 1, 1 | 2);
    SYS(fspick, AT_FDCWD, "nowhere", 1);
    SYS(open_tree, AT_FDCWD, "nowhere", 1 | O_CLOEXEC);
    SYS(move_mount, 99, "", AT_FDCWD, "nowhere", 4);
    SYS(mount_setattr, AT_FDCWD, "nowhere", AT_EMPTY_PATH, NULL, 0);
    uint64_t attr[] = {1 | 2, 0x70, 1 << 18, 5};
    SYS(mount_setattr, AT_FDCWD, "nowhere", AT_EMPTY_PATH | 0x8000, attr, sizeof attr);
    SYS(mount_setattr, AT_FDCWD, "nowhere", 0, attr, 8);
}

const struct workload files_workloads[] = {
    {"open_read_write", open_read_write}, {"open_flags", open_flags}, {"open_errors", open_errors},
    {"openat2", openat2_how}, {"escapes", escapes}, {"vectors", vectors}, {"stats", stats},
    {"statx", statx_masks}, {"links", links}, {"directories", directories},
    {"modes_and_owners", modes_and_owners}, {"attributes", attributes}, {"sizes", sizes},
    {"descriptors", descriptors}, {"fcntls", fcntls}, {"locks", locks}, {"copies", copies},
    {"file_times", file_times}, {"watches", watches}, {"handles", handles}, {0, 0}};
