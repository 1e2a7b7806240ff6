/* Programs whose traces are compared with strace's: each is one function of this binary. */
#ifndef WORKLOAD_H
#define WORKLOAD_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The system call itself: what libc does to arguments must not matter. */
#define SYS(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
/* Pointers that no memory is behind: unmapped, and the first page. */
#define BAD ((void *)0x7000000000f0)
#define LOW ((void *)16)

struct workload {
    const char *name;
    void (*run)(void);
};
extern const struct workload files_workloads[], memory_workloads[], process_workloads[],
    thread_workloads[], signal_workloads[], socket_workloads[], waiting_workloads[],
    device_workloads[], system_workloads[];

extern char *self; /* path of this binary */
int file_with(const char *name, const char *content);
/* Says that this child only waits for its parent: how often it looks is not the same in two runs. */
void is_helper(void);
/* Waits until a thread of this process sleeps in a system call of this number. */
void wait_until_in(int tid, long nr);
/* Waits until a thread of this process has ended. */
void wait_until_gone(int tid);
/* Lets a SIGCHLD through that waits to be delivered. */
void deliver_child_signals(void);
/* Starts a child that does nothing but end by this code. */
int child_that_exits(int code);
#endif
