/* Readiness, clocks and timers. */
#include "workload.h"
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <sys/timex.h>

static int ready[2], quiet[2];

static void make_pipes(void) {
    pipe(ready);
    pipe(quiet);
    if (write(ready[1], "x", 1) != 1) exit(3);
}

static void polls(void) {
    make_pipes();
    static struct pollfd fds[64];
    struct pollfd first[] = {{ready[0], POLLIN | POLLPRI, 0}, {quiet[0], POLLIN, 0}, {ready[1], POLLOUT | POLLRDHUP, 0}, {-1, 0, 0}, {99, POLLIN, 0}};
    memcpy(fds, first, sizeof first);
    struct timespec none = {0, 0}, second = {1, 0};
    unsigned long set = 1 << 9;
    SYS(poll, fds, 3, -1);
    SYS(poll, fds + 1, 1, 0);
    SYS(poll, fds + 1, 1, 1);
    SYS(poll, fds, 5, 100);
    SYS(poll, NULL, 0, 0);
    SYS(poll, BAD, 2, 0);
    SYS(poll, fds, 1 << 30, 0);
    SYS(ppoll, fds, 1, &second, &set, 8L);
    SYS(ppoll, fds + 1, 1, &none, NULL, 8L);
    SYS(ppoll, fds, 1, NULL, NULL, 0L);
    SYS(ppoll, fds, 1, BAD, NULL, 0L);
    close(quiet[1]);
    SYS(poll, fds + 1, 1, -1);
    fds[0].events = 0x4000 | POLLRDNORM | POLLWRBAND;
    SYS(poll, fds, 1, 0);
}

static void selects(void) {
    make_pipes();
    fd_set in, out, except;
    struct timeval wait = {0, 0};
    struct timespec moment = {0, 0};
    FD_ZERO(&in); FD_ZERO(&out); FD_ZERO(&except);
    FD_SET(ready[0], &in);
    FD_SET(quiet[0], &in);
    FD_SET(ready[1], &out);
    FD_SET(0, &except);
    SYS(select, 10, &in, &out, &except, &wait);
    SYS(select, 10, &in, NULL, NULL, NULL);
    FD_ZERO(&in);
    FD_SET(quiet[0], &in);
    SYS(select, 10, &in, NULL, NULL, &wait);
    wait.tv_usec = 1000;
    SYS(select, 0, NULL, NULL, NULL, &wait);
    SYS(select, -1, NULL, NULL, NULL, NULL);
    FD_SET(99, &in);
    SYS(select, 100, &in, NULL, NULL, NULL);
    SYS(select, 10, BAD, NULL, NULL, NULL);
    unsigned long set = 1 << 9;
    struct { void *set; size_t size; } pack = {&set, 8}, empty = {NULL, 8};
    FD_ZERO(&out);
    FD_SET(ready[1], &out);
    SYS(pselect6, 10, NULL, &out, NULL, &moment, &pack);
    SYS(pselect6, 0, NULL, NULL, NULL, &moment, &empty);
    SYS(pselect6, 0, NULL, NULL, NULL, &moment, NULL);
}

static void epolls(void) {
    make_pipes();
    struct epoll_event event = {EPOLLIN | EPOLLET, {.u32 = 7}}, events[10];
    struct timespec none = {0, 0};
    unsigned long set = 1 << 9;
    int fd = SYS(epoll_create1, EPOLL_CLOEXEC);
    SYS(epoll_create, 1);
    SYS(epoll_create, 0);
    SYS(epoll_create1, 7);
    SYS(epoll_ctl, fd, EPOLL_CTL_ADD, ready[0], &event);
    event = (struct epoll_event){EPOLLOUT | EPOLLONESHOT | EPOLLRDHUP | EPOLLEXCLUSIVE, {.u64 = 1UL << 40}};
    SYS(epoll_ctl, fd, EPOLL_CTL_ADD, ready[1], &event);
    event.events = EPOLLOUT;
    SYS(epoll_ctl, fd, EPOLL_CTL_ADD, ready[1], &event);
    SYS(epoll_ctl, fd, EPOLL_CTL_ADD, ready[1], &event);
    SYS(epoll_wait, fd, events, 10, 100);
    SYS(epoll_wait, fd, events, 1, 0);
    SYS(epoll_pwait, fd, events, 10, 0, &set, 8L);
    SYS(epoll_pwait, fd, events, 10, 0, NULL, 8L);
    SYS(epoll_pwait2, fd, events, 10, &none, NULL, 8L);
    SYS(epoll_pwait2, fd, events, 10, BAD, NULL, 8L);
    SYS(epoll_ctl, fd, EPOLL_CTL_MOD, ready[0], &event);
    SYS(epoll_ctl, fd, EPOLL_CTL_DEL, ready[0], NULL);
    SYS(epoll_ctl, fd, EPOLL_CTL_DEL, ready[1], &event);
    SYS(epoll_wait, fd, events, 10, 0);
    SYS(epoll_ctl, fd, 77, ready[1], &event);
    SYS(epoll_ctl, fd, EPOLL_CTL_ADD, 99, BAD);
    SYS(epoll_wait, fd, BAD, 10, 0);
    SYS(epoll_wait, fd, events, -1, 0);
    SYS(epoll_wait, 99, events, 1, 0);
}

static void events_(void) {
    uint64_t value = 3;
    int fd = SYS(eventfd2, 5, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    SYS(eventfd, 0);
    SYS(eventfd2, 0, 0x10);
    SYS(write, fd, &value, 8);
    SYS(read, fd, &value, 8);
    SYS(read, fd, &value, 4);
    struct itimerspec soon = {{0, 0}, {0, 1000}}, old;
    int timer = SYS(timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    SYS(timerfd_create, CLOCK_REALTIME, 0);
    SYS(timerfd_create, 77, 1);
    SYS(timerfd_settime, timer, 0, &soon, NULL);
    SYS(timerfd_settime, timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &soon, NULL);
    soon.it_value.tv_nsec = -1;
    SYS(timerfd_settime, timer, 4, &soon, &old);
    SYS(timerfd_settime, timer, 0, NULL, NULL);
    timer = SYS(timerfd_create, CLOCK_BOOTTIME, 0);
    SYS(timerfd_gettime, timer, &old);
    SYS(timerfd_gettime, 99, &old);
}

static void clocks(void) {
    struct timespec now;
    struct timeval micros;
    struct timezone zone;
    int ids[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 99};
    for (unsigned i = 0; i < 12; i++) SYS(clock_getres, ids[i], &now);
    SYS(clock_getres, -6, &now);
    SYS(clock_gettime, 99, &now);
    SYS(clock_gettime, CLOCK_REALTIME, NULL);
    SYS(gettimeofday, NULL, &zone);
    SYS(gettimeofday, BAD, NULL);
    now = (struct timespec){-1, 0};
    SYS(clock_settime, CLOCK_MONOTONIC, &now);
    micros = (struct timeval){0, -1};
    SYS(settimeofday, &micros, NULL);
    struct timex time_ = {.modes = 0x4000};
    SYS(clock_adjtime, 99, &time_);
    SYS(adjtimex, NULL);
}

static void sleeps(void) {
    struct timespec short_ = {0, 1000000}, left, past = {1, 0}, wrong = {0, 1000000000};
    SYS(nanosleep, &short_, NULL);
    SYS(nanosleep, &short_, &left);
    SYS(nanosleep, &wrong, NULL);
    SYS(nanosleep, NULL, NULL);
    SYS(nanosleep, BAD, NULL);
    SYS(clock_nanosleep, CLOCK_MONOTONIC, 0, &short_, &left);
    SYS(clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL);
    SYS(clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &short_, NULL);
    SYS(clock_nanosleep, 99, 7, &short_, NULL);
}

static void ticks(int number) {
    (void)number;
}

static void timers(void) {
    struct itimerval one = {{0, 0}, {0, 1000}}, old, off = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = ticks};
    unsigned long block = 1 << (SIGALRM - 1) | 1 << (SIGUSR1 - 1);
    sigaction(SIGALRM, &action, NULL);
    SYS(rt_sigprocmask, SIG_BLOCK, &block, NULL, 8L);
    SYS(setitimer, ITIMER_REAL, &one, NULL);
    SYS(rt_sigtimedwait, &block, NULL, NULL, 8L);
    SYS(setitimer, ITIMER_PROF, &off, &old);
    SYS(setitimer, 77, &off, &old);
    SYS(setitimer, ITIMER_REAL, NULL, NULL);
    SYS(getitimer, ITIMER_VIRTUAL, &old);
    SYS(alarm, 100);
    SYS(alarm, 0);
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    event.sigev_value.sival_int = 5;
    struct itimerspec spec = {{0, 0}, {0, 1000}}, gone;
    SYS(timer_create, CLOCK_MONOTONIC, &event, &id);
    SYS(timer_settime, id, 0, &spec, NULL);
    siginfo_t si;
    SYS(rt_sigtimedwait, &block, &si, NULL, 8L);
    SYS(timer_gettime, id, &gone);
    SYS(timer_getoverrun, id);
    SYS(timer_settime, id, TIMER_ABSTIME, &spec, &gone);
    SYS(timer_delete, id);
    SYS(timer_delete, 99);
    event.sigev_notify = SIGEV_NONE;
    SYS(timer_create, CLOCK_REALTIME, &event, &id);
    event.sigev_notify = 77;
    SYS(timer_create, CLOCK_REALTIME, &event, &id);
    SYS(timer_create, CLOCK_REALTIME, NULL, &id);
    SYS(timer_create, 99, BAD, &id);
}

static void asynchronous(void) {
    aio_context_t context = 0;
    struct io_event events[4];
    struct iocb block = {.aio_fildes = 99}, *blocks[] = {&block};
    struct timespec none = {0, 0};
    SYS(io_setup, 4, &context);
    SYS(io_setup, 0, &context);
    SYS(io_getevents, context, 0L, 4L, events, &none);
    SYS(io_submit, context, 0L, blocks);
    SYS(io_submit, 1L, 1L, NULL);
    SYS(io_cancel, context, NULL, events);
    SYS(io_destroy, context);
    SYS(io_destroy, 1L);
    SYS(io_uring_setup, 0, NULL);
    SYS(io_uring_enter, 99, 1, 1, 1, NULL, 8L);
    SYS(io_uring_register, 99, 0, NULL, 0);
}

const struct workload waiting_workloads[] = {
    {"polls", polls}, {"selects", selects}, {"epolls", epolls}, {"events", events_},
    {"clocks", clocks}, {"sleeps", sleeps}, {"timers", timers}, {"asynchronous", asynchronous},
    {0, 0}};
