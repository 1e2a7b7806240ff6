/* Sockets of every family, their addresses, messages and options. */
#include "workload.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

static char buffer[8192];

static struct sockaddr_in inet_address(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void tcp(void) {
    struct sockaddr_in address = inet_address(4000), client = inet_address(4001), peer;
    socklen_t length = sizeof peer;
    int one = 1;
    int server = SYS(socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_IP);
    SYS(setsockopt, server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    SYS(bind, server, &address, sizeof address);
    SYS(listen, server, 128);
    int fd = SYS(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
    SYS(bind, fd, &client, sizeof client);
    SYS(connect, fd, &address, sizeof address);
    int end = SYS(accept4, server, &peer, &length, SOCK_CLOEXEC);
    SYS(connect, fd, &address, sizeof address);
    SYS(getsockname, fd, &peer, &length);
    SYS(getpeername, fd, &peer, &length);
    length = 4;
    SYS(getpeername, fd, &peer, &length);
    SYS(sendto, fd, "hello", 5, MSG_NOSIGNAL, NULL, 0);
    SYS(recvfrom, end, buffer, 100, 0, NULL, NULL);
    SYS(recvfrom, end, buffer, 100, MSG_DONTWAIT | MSG_PEEK, NULL, NULL);
    SYS(shutdown, fd, SHUT_WR);
    SYS(read, end, buffer, 10);
    SYS(shutdown, fd, SHUT_RDWR);
    SYS(shutdown, fd, 7);
    SYS(accept, fd, NULL, NULL);
    SYS(close, fd);
    SYS(close, end);
    fd = SYS(socket, AF_INET, SOCK_STREAM, IPPROTO_TCP);
    address = inet_address(4009);
    SYS(connect, fd, &address, sizeof address);
}

static void udp(void) {
    struct sockaddr_in address = inet_address(5000), other = inet_address(5001), from;
    socklen_t length = sizeof from;
    int a = SYS(socket, AF_INET, SOCK_DGRAM, IPPROTO_UDP), b = SYS(socket, AF_INET, SOCK_DGRAM, 0);
    SYS(bind, a, &address, sizeof address);
    SYS(bind, b, &other, sizeof other);
    SYS(bind, b, &other, sizeof other);
    SYS(sendto, a, "datagram", 8, MSG_CONFIRM | MSG_DONTROUTE, &other, sizeof other);
    SYS(recvfrom, b, buffer, sizeof buffer, 0, &from, &length);
    SYS(sendto, a, "", 0, 0, &other, sizeof other);
    length = 8;
    SYS(recvfrom, b, buffer, sizeof buffer, MSG_TRUNC, &from, &length);
    SYS(recvfrom, b, buffer, sizeof buffer, MSG_DONTWAIT, &from, &length);
    SYS(sendto, a, "x", 1, 0x1000000, NULL, 0);
    SYS(sendto, a, BAD, 1, 0, &other, sizeof other);
    SYS(sendto, a, "x", 1, 0, BAD, sizeof other);
    SYS(sendto, a, "x", 1, 0, &other, 4);
    SYS(connect, a, &other, sizeof other);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    SYS(connect, a, &none, sizeof none);
    SYS(connect, a, NULL, 0);
}

static void inet6(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(6000),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT}, from;
    socklen_t length = sizeof from;
    int fd = SYS(socket, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    int only = 1;
    SYS(setsockopt, fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    SYS(bind, fd, &address, sizeof address);
    SYS(sendto, fd, "to myself", 9, 0, &address, sizeof address);
    SYS(recvfrom, fd, buffer, 100, 0, &from, &length);
    SYS(getsockname, fd, &from, &length);
    inet_pton(AF_INET6, "2001:db8::12:3456", &address.sin6_addr);
    address.sin6_flowinfo = htonl(9);
    SYS(connect, fd, &address, sizeof address);
    inet_pton(AF_INET6, "fe80::1", &address.sin6_addr);
    address.sin6_scope_id = 1;
    SYS(connect, fd, &address, sizeof address);
    inet_pton(AF_INET6, "::ffff:10.0.0.1", &address.sin6_addr);
    address.sin6_scope_id = 77;
    SYS(connect, fd, &address, sizeof address);
    SYS(connect, fd, &address, 24);
    SYS(connect, fd, &address, 10);
    SYS(connect, fd, &address, 200);
}

static void unix_streams(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock\033"}, from;
    socklen_t length = sizeof from;
    int server = SYS(socket, AF_UNIX, SOCK_STREAM, 0), fd = SYS(socket, AF_UNIX, SOCK_STREAM, 0);
    SYS(bind, server, &address, sizeof address);
    SYS(listen, server, 1);
    SYS(connect, fd, &address, sizeof address);
    int end = SYS(accept, server, &from, &length);
    SYS(getsockname, end, &from, &length);
    length = sizeof from;
    SYS(getpeername, fd, &from, &length);
    strcpy(address.sun_path, "missing");
    int packets = SYS(socket, AF_UNIX, SOCK_SEQPACKET, 0);
    SYS(connect, packets, &address, sizeof address);
    memcpy(address.sun_path, "\0abstract", 9);
    int abstract = SYS(socket, AF_UNIX, SOCK_DGRAM, 0);
    SYS(bind, abstract, &address, 2 + 9);
    length = sizeof from;
    SYS(getsockname, abstract, &from, &length);
    SYS(connect, fd, &address, 2);
    memset(address.sun_path, 'p', sizeof address.sun_path);
    SYS(connect, fd, &address, sizeof address);
    int pair[2];
    SYS(socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
    SYS(socketpair, AF_INET, SOCK_STREAM, 0, pair);
    SYS(socketpair, AF_UNIX, SOCK_STREAM, 0, BAD);
    SYS(write, pair[0], "pair", 4);
    SYS(read, pair[1], buffer, 100);
    SYS(close, pair[0]);
    SYS(read, pair[1], buffer, 100);
}

static void messages(void) {
    int pair[2], one = 1;
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    struct iovec parts[] = {{"first ", 6}, {"second, which is longer than thirty-two", 39}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    SYS(sendmsg, pair[0], &message, 0);
    struct iovec room[] = {{buffer, 4}, {buffer + 100, 100}};
    struct msghdr got = {.msg_iov = room, .msg_iovlen = 2};
    SYS(recvmsg, pair[1], &got, 0);
    SYS(recvmsg, pair[1], &got, MSG_DONTWAIT);
    union { char data[CMSG_SPACE(2 * sizeof(int))]; struct cmsghdr align; } control;
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(head), (int[]){0, 1}, 2 * sizeof(int));
    SYS(sendmsg, pair[0], &message, MSG_NOSIGNAL);
    char space[256];
    got.msg_control = space;
    got.msg_controllen = sizeof space;
    SYS(recvmsg, pair[1], &got, MSG_CMSG_CLOEXEC);
    SYS(setsockopt, pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    message.msg_control = NULL;
    message.msg_controllen = 0;
    SYS(sendmsg, pair[0], &message, 0);
    got.msg_controllen = sizeof space;
    SYS(recvmsg, pair[1], &got, 0);
    head->cmsg_type = 77;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    SYS(sendmsg, pair[0], &message, 0);
    SYS(sendmsg, pair[0], NULL, 0);
    SYS(sendmsg, pair[0], BAD, 0);
    SYS(recvmsg, 99, &got, 0);
    struct sockaddr_in address = inet_address(5100), from;
    int fd = SYS(socket, AF_INET, SOCK_DGRAM, 0);
    SYS(bind, fd, &address, sizeof address);
    message = (struct msghdr){.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = parts,
                              .msg_iovlen = 1};
    SYS(sendmsg, fd, &message, 0);
    got = (struct msghdr){.msg_name = &from, .msg_namelen = 100, .msg_iov = room, .msg_iovlen = 1};
    SYS(recvmsg, fd, &got, 0);
}

static void many_messages(void) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    struct iovec parts[] = {{"one", 3}, {"two", 3}, {"three", 5}};
    struct mmsghdr messages[3] = {0}, got[4] = {0};
    struct iovec room[4];
    for (int i = 0; i < 3; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = parts + i, .msg_iovlen = 1};
    for (int i = 0; i < 4; i++) {
        room[i] = (struct iovec){buffer + 100 * i, 100};
        got[i].msg_hdr = (struct msghdr){.msg_iov = room + i, .msg_iovlen = 1};
    }
    SYS(sendmmsg, pair[0], messages, 3, 0);
    SYS(recvmmsg, pair[1], got, 2, 0, NULL);
    struct timespec wait = {1, 0};
    SYS(recvmmsg, pair[1], got, 4, MSG_DONTWAIT, &wait);
    SYS(recvmmsg, pair[1], got, 4, MSG_DONTWAIT, NULL);
    SYS(sendmmsg, pair[0], NULL, 0, 0);
    SYS(sendmmsg, 99, messages, 3, MSG_NOSIGNAL);
}

static void options(void) {
    int fd = SYS(socket, AF_INET, SOCK_STREAM, 0);
    int value = 1;
    socklen_t length = sizeof value;
    struct linger linger = {1, 5};
    struct timeval wait = {1, 500000};
    int names[] = {SO_KEEPALIVE, SO_BROADCAST, SO_REUSEPORT, SO_SNDBUF, SO_RCVBUF, SO_PRIORITY,
                   SO_TIMESTAMP, SO_MARK, SO_INCOMING_CPU, 999};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        value = 1;
        SYS(setsockopt, fd, SOL_SOCKET, names[i], &value, sizeof value);
        SYS(getsockopt, fd, SOL_SOCKET, names[i], &value, &length);
    }
    SYS(setsockopt, fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    length = sizeof linger;
    SYS(getsockopt, fd, SOL_SOCKET, SO_LINGER, &linger, &length);
    SYS(setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    length = sizeof wait;
    SYS(getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &wait, &length);
    length = sizeof value;
    SYS(getsockopt, fd, SOL_SOCKET, SO_ERROR, &value, &length);
    SYS(getsockopt, fd, SOL_SOCKET, SO_TYPE, &value, &length);
    SYS(getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, &value, &length);
    SYS(getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &value, &length);
    int tcps[] = {TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_QUICKACK,
                  TCP_DEFER_ACCEPT, TCP_USER_TIMEOUT};
    for (unsigned i = 0; i < sizeof tcps / sizeof *tcps; i++) {
        value = 1;
        SYS(setsockopt, fd, IPPROTO_TCP, tcps[i], &value, sizeof value);
    }
    value = 64;
    SYS(setsockopt, fd, IPPROTO_IP, IP_TTL, &value, sizeof value);
    SYS(setsockopt, fd, IPPROTO_IP, IP_TOS, &value, sizeof value);
    SYS(setsockopt, fd, IPPROTO_IP, IP_RECVERR, &value, sizeof value);
    SYS(setsockopt, fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
    SYS(setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &value, 1);
    SYS(setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, NULL, 4);
    SYS(setsockopt, fd, 77, 5, &value, 4);
    SYS(getsockopt, fd, SOL_SOCKET, SO_TYPE, BAD, &length);
    SYS(getsockopt, 99, SOL_SOCKET, SO_TYPE, &value, &length);
    SYS(setsockopt, fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    char name[16];
    length = sizeof name;
    SYS(getsockopt, fd, IPPROTO_TCP, TCP_CONGESTION, name, &length);
    struct { int pid, uid, gid; } credentials;
    length = sizeof credentials;
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    SYS(getsockopt, pair[0], SOL_SOCKET, SO_PEERCRED, &credentials, &length);
}

static void netlink(void) {
    struct sockaddr_nl address = {.nl_family = AF_NETLINK}, from;
    socklen_t length = sizeof from;
    struct { struct nlmsghdr head; struct rtgenmsg family; } request = {
        {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)), .nlmsg_type = RTM_GETLINK,
         .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 7}, {AF_UNSPEC}};
    int fd = SYS(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    SYS(bind, fd, &address, sizeof address);
    SYS(getsockname, fd, &from, &length);
    SYS(connect, fd, &address, sizeof address);
    address.nl_groups = 0x11;
    SYS(bind, fd, &address, sizeof address);
    (void)request;
    SYS(socket, AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
    SYS(socket, AF_NETLINK, SOCK_RAW, 99);
    SYS(socket, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
}

static void socket_errors(void) {
    struct sockaddr_in address = inet_address(80);
    struct { unsigned short family; char data[30]; } odd = {77, "\1\2\3 text"};
    SYS(socket, 77, SOCK_STREAM, 0);
    SYS(socket, AF_INET, 77, 0);
    SYS(socket, AF_INET, SOCK_STREAM | 0x100, 0);
    SYS(socket, AF_INET, SOCK_STREAM, 250);
    SYS(socket, AF_INET, SOCK_RAW, IPPROTO_ICMP);
    SYS(socket, AF_PACKET, SOCK_RAW, htons(3));
    SYS(socket, AF_PACKET, SOCK_DGRAM, htons(0x800));
    SYS(socket, AF_VSOCK, SOCK_STREAM, 0);
    SYS(socket, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    SYS(socket, AF_BLUETOOTH, SOCK_RAW, 1);
    SYS(bind, 0, &address, sizeof address);
    SYS(connect, 99, &address, sizeof address);
    SYS(connect, 99, &odd, sizeof odd);
    SYS(connect, 99, &odd, 2);
    SYS(connect, 99, &odd, 1);
    SYS(connect, 99, &odd, -1);
    SYS(connect, 99, BAD, 16);
    SYS(listen, 99, -1);
    SYS(accept, 99, BAD, NULL);
    SYS(accept4, 99, &address, BAD, SOCK_NONBLOCK | 0x10);
    SYS(getsockname, 99, &address, NULL);
    SYS(shutdown, 0, SHUT_RD);
    SYS(sendto, 0, "x", 1, 0, NULL, 0);
    SYS(recvfrom, 0, buffer, 1, 0, NULL, NULL);
}

const struct workload socket_workloads[] = {
    {"tcp", tcp}, {"udp", udp}, {"inet6", inet6}, {"unix_streams", unix_streams},
    {"messages", messages}, {"many_messages", many_messages}, {"options", options},
    {"netlink", netlink}, {"socket_errors", socket_errors}, {0, 0}};
