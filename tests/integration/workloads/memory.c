/* Address spaces. */
#include "workload.h"
#include <linux/mempolicy.h>
#include <sys/shm.h>

static void maps(void) {
    int fd = file_with("f", "contents");
    int rw = PROT_READ | PROT_WRITE;
    void *p = mmap(0, 65536, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SYS(mmap, 0L, 4096L, PROT_READ, MAP_SHARED, fd, 0L);
    SYS(mmap, 0L, 4096L, PROT_READ, MAP_SHARED, fd, 4096L);
    SYS(mmap, 0L, 4096L, PROT_READ, MAP_SHARED, fd, 1L);
    SYS(mmap, p, 4096L, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0L);
    SYS(mmap, p, 4096L, rw, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000, -1, 0L);
    SYS(mmap, 0L, 4096L, rw | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0L);
    SYS(mmap, 0L, 4096L, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_GROWSDOWN, -1, 0L);
    SYS(mmap, 0L, 2L << 20, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << 26), -1, 0L);
    SYS(mmap, 0L, 4096L, 0x1000 | PROT_READ, MAP_ANONYMOUS, -1, 0L);
    SYS(mmap, 0L, 0L, PROT_READ, MAP_PRIVATE, -1, 0L);
    SYS(mmap, 0L, 4096L, PROT_READ, MAP_PRIVATE, 99, 0L);
    SYS(mmap, 0L, 4096L, PROT_READ, 3 | 0x8000000, fd, 0L);
    SYS(mprotect, p, 4096L, PROT_READ);
    SYS(mprotect, p, 4096L, rw | 0x1000000);
    SYS(mprotect, 1L, 4096L, PROT_NONE);
    SYS(msync, p, 4096L, MS_SYNC);
    SYS(msync, p, 4096L, MS_ASYNC | MS_INVALIDATE);
    SYS(msync, p, 4096L, 0x80);
    SYS(munmap, p, 4096L);
    SYS(munmap, 1L, 4096L);
    SYS(mlock, (char *)p + 4096, 4096L);
    SYS(munlock, (char *)p + 4096, 4096L);
    SYS(mlock2, (char *)p + 4096, 4096L, 1);
    SYS(mlock2, (char *)p + 4096, 4096L, 6);
    SYS(mlockall, 0);
    SYS(mlockall, 1 | 2 | 4 | 8);
    SYS(munlockall);
    SYS(remap_file_pages, p, 4096L, 0, 0L, 0);
}

static void moves(void) {
    char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p = (char *)SYS(mremap, p, 65536L, 131072L, MREMAP_MAYMOVE);
    SYS(mremap, p, 131072L, 65536L, 0);
    SYS(mremap, p, 4096L, 4096L, MREMAP_MAYMOVE | MREMAP_FIXED, p + 32768);
    SYS(mremap, p + 32768, 4096L, 4096L, MREMAP_MAYMOVE | 4, 0L);
    SYS(mremap, 1L, 4096L, 4096L, 0x10);
    SYS(brk, 0L);
    char *end = (char *)SYS(brk, 0L);
    SYS(brk, end + 8192);
    SYS(brk, end);
    unsigned char resident[64];
    p[40960] = 1;
    SYS(mincore, p + 40960, 8192L, resident);
    SYS(mincore, p + 40960, 1L, NULL);
    SYS(mincore, 1L, 4096L, resident);
}

static void advice(void) {
    char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int advices[] = {0, 1, 2, 3, 4, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 26, 999};
    for (unsigned i = 0; i < sizeof advices / sizeof *advices; i++)
        SYS(madvise, p, 4096L, advices[i]);
    SYS(madvise, 1L, 4096L, 4);
    struct iovec range[] = {{p, 4096}, {p + 8192, 4096}};
    int fd = SYS(pidfd_open, getpid(), 0);
    SYS(process_madvise, fd, range, 2, 20, 0);
    SYS(process_madvise, 99, range, 2, 21, 0);
    SYS(process_mrelease, fd, 0);
}

static void policies(void) {
    unsigned long mask[16] = {1, 0};
    int mode;
    char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SYS(set_mempolicy, MPOL_DEFAULT, NULL, 0L);
    SYS(set_mempolicy, MPOL_BIND, mask, 64L);
    SYS(set_mempolicy, MPOL_INTERLEAVE | 0x8000, mask, 8L);
    SYS(set_mempolicy, 77, mask, 64L);
    SYS(get_mempolicy, &mode, mask, 1024L, 0L, 0L);
    SYS(get_mempolicy, &mode, NULL, 0L, 0L, 0L);
    SYS(get_mempolicy, &mode, NULL, 0L, p, (long)MPOL_F_ADDR);
    SYS(get_mempolicy, NULL, NULL, 0L, p, 0x40L);
    SYS(mbind, p, 4096L, MPOL_PREFERRED, mask, 64L, 0);
    SYS(mbind, p, 4096L, MPOL_BIND, mask, 64L, MPOL_MF_STRICT | MPOL_MF_MOVE);
    SYS(mbind, 1L, 4096L, MPOL_LOCAL, NULL, 0L, 0x100);
    SYS(set_mempolicy, MPOL_DEFAULT, NULL, 0L);
    SYS(migrate_pages, 0, 64L, mask, mask);
    void *pages[] = {p, p + 4096};
    int nodes[] = {0, 0}, status[2];
    p[0] = p[4096] = 1;
    SYS(move_pages, 0, 2L, pages, nodes, status, 2);
    SYS(move_pages, 0, 2L, pages, NULL, status, 0);
}

static void anonymous_files(void) {
    int fd = SYS(memfd_create, "name of it", 1);
    SYS(memfd_create, "name", 1 | 2 | 4);
    SYS(memfd_create, "name", 0x100);
    SYS(memfd_create, NULL, 0);
    SYS(ftruncate, fd, 4096L);
    SYS(mmap, 0L, 4096L, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
    SYS(memfd_secret, 0);
    SYS(memfd_secret, O_CLOEXEC | 1);
    SYS(userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);
    SYS(userfaultfd, 0x10);
    SYS(membarrier, 0, 0, 0);
    SYS(membarrier, 16, 0, 0);
    SYS(membarrier, 8, 0, 0);
    SYS(membarrier, 77, 0, 0);
    SYS(pkey_alloc, 0L, 1L);
    SYS(pkey_alloc, 1L, 0x10L);
    SYS(pkey_free, 99);
    SYS(pkey_mprotect, 0L, 0L, PROT_READ, -1);
}

static void shared_memory(void) {
    struct shmid_ds ds;
    int id = SYS(shmget, IPC_PRIVATE, 4096L, IPC_CREAT | 0600);
    SYS(shmget, 0x1234, 4096L, 0);
    SYS(shmget, 0x1234, 4096L, IPC_CREAT | IPC_EXCL | 0x800 | 0644);
    void *p = (void *)SYS(shmat, id, NULL, 0);
    SYS(shmat, id, NULL, SHM_RDONLY);
    SYS(shmat, 99, NULL, SHM_RND);
    SYS(shmat, id, 1L, 0x8000);
    SYS(shmdt, p);
    SYS(shmdt, 1L);
    SYS(shmctl, id, IPC_RMID, NULL);
    SYS(shmctl, 99, IPC_STAT, &ds);
    SYS(shmctl, 99, 77, NULL);
}

static void other_memory(void) {
    char source[64] = "the bytes that are to be copied", target[64] = "";
    struct iovec here[] = {{target, 16}, {target + 16, 48}}, there[] = {{source, 64}};
    SYS(process_vm_readv, getpid(), here, 2L, there, 1L, 0L);
    SYS(process_vm_writev, getpid(), here, 1L, there, 1L, 0L);
    SYS(process_vm_readv, getpid(), here, 2L, (struct iovec[]){{BAD, 64}}, 1L, 0L);
    SYS(process_vm_readv, 1 << 30, here, 2L, there, 1L, 0L);
    SYS(process_vm_writev, getpid(), here, 2L, there, 1L, 1L);
    SYS(process_vm_readv, getpid(), NULL, 0L, NULL, 0L, 0L);
}

const struct workload memory_workloads[] = {
    {"maps", maps}, {"moves", moves}, {"advice", advice}, {"policies", policies},
    {"anonymous_files", anonymous_files}, {"shared_memory", shared_memory},
    {"other_memory", other_memory}, {0, 0}};
