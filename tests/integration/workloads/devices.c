/* ioctl: terminals, sockets, files, and commands nobody knows. */
#include "workload.h"
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define IOCTL(fd, command, ...) SYS(ioctl, fd, command, ##__VA_ARGS__)

static void terminals(void) {
    int number = 0, unlock = 0, value;
    struct termios term;
    struct winsize size = {24, 80, 0, 0};
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    IOCTL(master, TIOCSPTLCK, &unlock);
    IOCTL(master, TIOCGPTLCK, &value);
    int slave = IOCTL(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    (void)number;
    IOCTL(slave, TCGETS, &term);
    term.c_lflag &= ~(ICANON | ECHO);
    IOCTL(slave, TCSETS, &term);
    IOCTL(slave, TCSETSW, &term);
    IOCTL(slave, TCSETSF, &term);
    IOCTL(slave, TIOCSWINSZ, &size);
    IOCTL(slave, TIOCGWINSZ, &size);
    IOCTL(slave, TIOCGPGRP, &value);
    IOCTL(slave, TIOCGSID, &value);
    IOCTL(slave, TIOCOUTQ, &value);
    IOCTL(slave, FIONREAD, &value);
    IOCTL(slave, TCFLSH, 2L);
    IOCTL(slave, TCXONC, 1L);
    IOCTL(slave, TCSBRK, 1L);
    IOCTL(slave, TCSBRKP, 1L);
    IOCTL(slave, TIOCEXCL);
    IOCTL(slave, TIOCNXCL);
    IOCTL(slave, TIOCGEXCL, &value);
    IOCTL(slave, TIOCSCTTY, 0L);
    IOCTL(slave, TIOCNOTTY);
    IOCTL(slave, TIOCGETD, &value);
    IOCTL(slave, TIOCSTI, "x");
    IOCTL(slave, TIOCMGET, &value);
    IOCTL(0, TCGETS, &term);
    IOCTL(0, TIOCGWINSZ, &size);
    IOCTL(99, TCGETS, &term);
    IOCTL(slave, TCGETS, NULL);
    IOCTL(slave, TCSETS, BAD);
    value = 1;
    IOCTL(master, TIOCPKT, &value);
    IOCTL(master, TIOCGPKT, &value);
}

static void file_commands(void) {
    int ends[2], value = 1;
    long flags = 0;
    int fd = file_with("f", "0123456789");
    pipe(ends);
    SYS(write, ends[1], "seven..", 7);
    IOCTL(ends[0], FIONREAD, &value);
    IOCTL(ends[0], FIONBIO, &value);
    IOCTL(ends[0], FIOCLEX);
    IOCTL(ends[0], FIONCLEX);
    IOCTL(ends[0], FIOASYNC, &value);
    value = 0;
    IOCTL(ends[0], FIOASYNC, &value);
    IOCTL(fd, FIONREAD, &value);
    IOCTL(fd, FICLONE, 99);
    IOCTL(99, FS_IOC_GETFLAGS, &flags);
    IOCTL(99, BLKGETSIZE64, &flags);
    IOCTL(99, BLKSSZGET, &value);
    IOCTL(99, BLKGETSIZE, &flags);
    IOCTL(99, BLKFLSBUF, 0L);
    IOCTL(99, BLKROGET, &value);
    IOCTL(99, FIBMAP, &value);
    IOCTL(99, FIGETBSZ, &value);
    IOCTL(99, FIFREEZE, &value);
    IOCTL(99, FITRIM, NULL);
    IOCTL(99, FS_IOC_SETFLAGS, &flags);
    IOCTL(fd, 0xdeadbeefUL, 1L);
    IOCTL(fd, _IO('!', 1), 2L);
    IOCTL(fd, _IOR('!', 2, int), &value);
    IOCTL(fd, _IOW('!', 3, long), &value);
    IOCTL(fd, _IOWR('!', 4, struct stat), NULL);
    IOCTL(fd, 0UL, 0L);
    IOCTL(fd, 0x12345678UL, BAD);
}

static void interface_commands(void) {
    int fd = SYS(socket, AF_INET, SOCK_DGRAM, 0), value;
    struct ifreq request = {.ifr_name = "lo"};
    struct ifconf conf = {0, {0}};
    struct ifreq several[4];
    IOCTL(fd, SIOCGIFFLAGS, &request);
    IOCTL(fd, SIOCGIFINDEX, &request);
    request = (struct ifreq){.ifr_ifindex = 1};
    IOCTL(fd, SIOCGIFNAME, &request);
    IOCTL(fd, SIOCGIFADDR, &request);
    IOCTL(fd, SIOCGIFNETMASK, &request);
    IOCTL(fd, SIOCGIFBRDADDR, &request);
    IOCTL(fd, SIOCGIFMTU, &request);
    IOCTL(fd, SIOCGIFHWADDR, &request);
    IOCTL(fd, SIOCGIFMETRIC, &request);
    IOCTL(fd, SIOCGIFTXQLEN, &request);
    IOCTL(fd, SIOCGIFMAP, &request);
    strcpy(request.ifr_name, "none0");
    IOCTL(fd, SIOCGIFFLAGS, &request);
    IOCTL(fd, SIOCGIFCONF, &conf);
    conf.ifc_len = sizeof several;
    conf.ifc_req = several;
    IOCTL(fd, SIOCGIFCONF, &conf);
    IOCTL(fd, SIOCINQ, &value);
    IOCTL(fd, SIOCOUTQ, &value);
    IOCTL(fd, SIOCATMARK, &value);
    IOCTL(fd, SIOCSPGRP, &value);
    IOCTL(fd, SIOCGPGRP, &value);
    IOCTL(fd, SIOCGSTAMP, &value);
    IOCTL(fd, SIOCETHTOOL, &request);
    IOCTL(99, SIOCGIFFLAGS, NULL);
}

const struct workload device_workloads[] = {
    {"terminals", terminals}, {"file_commands", file_commands},
    {"interface_commands", interface_commands}, {0, 0}};
