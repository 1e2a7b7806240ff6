"""Signatures of system calls by name: what every argument is, in one compact text.

One line per call: `name argument… [-> kind of the return value]`. An argument is
`[direction]kind[:length]`.

Direction:
    none   read by the kernel; its memory is taken at the syscall-exit-stop
    !      read by the kernel; taken at the syscall-enter-stop, as the call may change it
    +      read and changed by the kernel; taken at both stops, printed as an in-argument
    =      read and changed by the kernel; taken at both stops, printed when the call has returned
    <      written by the kernel; taken at the syscall-exit-stop of a call that did not fail
    ~      written by the kernel when a signal ends the call; taken when it failed

Length (bytes of a buffer or string, elements of an array):
    :N     argument N
    :r     the return value
    :*N    the integer argument N points to

`name ?N&MASK …` says that the meaning of the arguments depends on argument N (masked); lines
`name=V,V …` give the arguments for its values V, the first line those for any other. A line
`name/abi …` is for one ABI. `a,b,c …` gives one signature to several names.

Facts from the manual pages (section 2) and the kernel's include/linux/syscalls.h and uapi headers.
"""

FILES = """\
read fd <buf:r size
write fd buf:2 size
pread64 fd <buf:r size off
pwrite64 fd buf:2 size off
pread64/i386 fd <buf:r size off_low
pwrite64/i386 fd buf:2 size off_low
readv fd <iovec_local:2 ulong
writev fd iovec:2 ulong
preadv fd <iovec_local:2 ulong off
pwritev fd iovec:2 ulong off
preadv/i386 fd <iovec_local:2 ulong off_low
pwritev/i386 fd iovec:2 ulong off_low
preadv2 fd <iovec_local:2 ulong off unused rwf_flags
pwritev2 fd iovec:2 ulong off unused rwf_flags
preadv2/i386 fd <iovec_local:2 ulong off_low unused rwf_flags
pwritev2/i386 fd iovec:2 ulong off_low unused rwf_flags
open ?1&0x400040 path open_flags -> fd
open=0x40,0x400000,0x400040 path open_flags open_mode -> fd
openat ?2&0x400040 dirfd path open_flags -> fd
openat=0x40,0x400000,0x400040 dirfd path open_flags open_mode -> fd
openat2 dirfd path open_how:3 size -> fd
creat path mode -> fd
close fd
close_range uint uint close_range_flags
lseek fd off whence
lseek/i386 fd int whence
_llseek fd off_high unused <loff whence
stat,lstat path <stat
stat64,lstat64 path <stat64
fstat64 fd <stat64
fstatat64 dirfd path <stat64 at_flags
oldstat,oldlstat path <oldstat
oldfstat fd <oldstat
fstat fd <stat
newfstatat dirfd path <stat at_flags
statx dirfd path statx_flags statx_mask <statx
statfs path <statfs
fstatfs fd <statfs
statfs64 path size <statfs64
fstatfs64 fd size <statfs64
ustat dev <ptr
access path access_mode
faccessat dirfd path access_mode
faccessat2 dirfd path access_mode faccessat_flags
chdir path
fchdir fd
chroot path
rename path path
renameat dirfd path dirfd path
renameat2 dirfd path dirfd path rename_flags
mkdir path mode
mkdirat dirfd path mode
rmdir path
link path path
linkat dirfd path dirfd path at_flags
symlink path path
symlinkat path dirfd path
unlink path
unlinkat dirfd path unlinkat_flags
readlink path <buf:r size
readlinkat dirfd path <buf:r size
chmod path mode
fchmod fd mode
fchmodat dirfd path mode
fchmodat2 dirfd path mode at_flags
chown,lchown,chown32,lchown32 path uid uid
fchown,fchown32 fd uid uid
fchownat dirfd path uid uid at_flags
mknod ?1&0xf000 path mknod_mode
mknod=0x2000,0x6000 path mknod_mode dev
mknodat ?2&0xf000 dirfd path mknod_mode
mknodat=0x2000,0x6000 dirfd path mknod_mode dev
truncate path ulong
ftruncate fd ulong
truncate64 path uoff_low
ftruncate64 fd uoff_low
fallocate fd fallocate_mode off off
fallocate/i386 fd fallocate_mode off_low unused off_low
fadvise64 fd off size fadvice
fadvise64/i386 fd off_low unused size fadvice
fadvise64_64 fd off_low unused off_low unused fadvice
readahead fd off size
readahead/i386 fd off_low unused size
sync_file_range fd off off sync_file_range_flags
sync_file_range/i386 fd off_low unused off_low unused sync_file_range_flags
sync_file_range2 fd sync_file_range_flags off off
utime path utimbuf
utimes path timevals
futimesat dirfd path timevals
utimensat dirfd path timespecs at_flags
utimensat_time64 dirfd path timespecs64 at_flags
umask mode -> octal
getcwd <cstr:r size
getdents uint_fd <dents:r uint
getdents64 uint_fd <dents64:r uint
readdir fd ptr uint
flock fd flock_op
fsync,fdatasync,syncfs fd
sync
dup fd -> fd
dup2 fd fd -> fd
dup3 fd fd dup_flags -> fd
pipe <pipefds
pipe2 <pipefds pipe_flags
sendfile fd fd =offp size
sendfile64 fd fd =loffp size
splice fd !loff fd !loff size splice_flags
tee fd fd size splice_flags
vmsplice fd iovec:2 ulong splice_flags
copy_file_range fd !loff fd !loff size uint
acct path
swapon path swap_flags
swapoff path
mount path path mount_type mount_flags mount_data
umount path
umount2 path umount_flags
pivot_root path path
uselib path
quotactl quota_cmd path uid ptr
quotactl_fd fd quota_cmd uid ptr
name_to_handle_at dirfd path =file_handle <ints1 handle_flags
open_by_handle_at fd file_handle open_flags -> fd
setxattr,lsetxattr path str attribute:3 size xattr_flags
fsetxattr fd str attribute:3 size xattr_flags
getxattr,lgetxattr path str <attribute:r size
fgetxattr fd str <attribute:r size
listxattr,llistxattr path <strbuf:r size
flistxattr fd <strbuf:r size
removexattr,lremovexattr path str
fremovexattr fd str
setxattrat dirfd path at_flags str xattr_args size
getxattrat dirfd path at_flags str xattr_args size
listxattrat dirfd path at_flags <strbuf:r size
removexattrat dirfd path at_flags str
file_getattr,file_setattr dirfd path ptr size at_flags
open_tree dirfd path open_tree_flags -> fd
open_tree_attr dirfd path open_tree_flags mount_attr:4 size -> fd
move_mount dirfd path dirfd path move_mount_flags
fsopen str fsopen_flags -> fd
fsconfig ?1 fd fsconfig_cmd ptr ptr int
fsconfig=0 fd fsconfig_cmd str ptr int
fsconfig=1 fd fsconfig_cmd str str int
fsconfig=2 fd fsconfig_cmd str hexbuf:4 int
fsconfig=3,4 fd fsconfig_cmd str path int
fsconfig=5 fd fsconfig_cmd str ptr int
fsmount fd fsmount_flags mount_attr_flags -> fd
fspick dirfd path fspick_flags -> fd
mount_setattr dirfd path mount_at_flags mount_attr:4 size
statmount,listmount ptr ptr size hex
cachestat uint_fd cache_range <cache_state hex32
fanotify_init fanotify_init_flags open_flags -> fd
fanotify_mark fd fanotify_mark_flags fan_events dirfd path
fanotify_mark/i386 fd fanotify_mark_flags fan_events unused dirfd path
inotify_init -> fd
inotify_init1 inotify_init_flags -> fd
inotify_add_watch fd path inotify_mask
inotify_rm_watch fd int
lookup_dcookie ulong ptr size
fcntl,fcntl64 ?1 fd fcntl_cmd hex
fcntl,fcntl64=0,1030 fd fcntl_cmd long -> fd
fcntl,fcntl64=1 fd fcntl_cmd -> fd_flags
fcntl,fcntl64=11 fd fcntl_cmd
fcntl,fcntl64=1025 fd fcntl_cmd -> lease
fcntl,fcntl64=1034 fd fcntl_cmd -> seal_flags
fcntl,fcntl64=3 fd fcntl_cmd -> open_flags
fcntl,fcntl64=9,1032 fd fcntl_cmd -> int
fcntl,fcntl64=2 fd fcntl_cmd fd_flags
fcntl,fcntl64=4 fd fcntl_cmd open_flags
fcntl,fcntl64=5 fd fcntl_cmd =flock_got
fcntl,fcntl64=6,7 fd fcntl_cmd flock
fcntl,fcntl64=12,36 fd fcntl_cmd =flock64_got
fcntl,fcntl64=13,14,37,38 fd fcntl_cmd flock64
fcntl,fcntl64=8 fd fcntl_cmd int
fcntl,fcntl64=10 fd fcntl_cmd sig_or_zero
fcntl,fcntl64=15 fd fcntl_cmd f_owner_ex
fcntl,fcntl64=16 fd fcntl_cmd <f_owner_ex
fcntl,fcntl64=1024 fd fcntl_cmd lease
fcntl,fcntl64=1026 fd fcntl_cmd notify_flags
fcntl,fcntl64=1031 fd fcntl_cmd int
fcntl,fcntl64=1033 fd fcntl_cmd seal_flags
fcntl,fcntl64=1029 fd fcntl_cmd ptr
fcntl,fcntl64=1035,1037 fd fcntl_cmd <u64
fcntl,fcntl64=1036,1038 fd fcntl_cmd u64
"""

IOCTL = """\
ioctl ?1 fd ioctl ioctl_arg
ioctl=0x5401 fd ioctl <termios
ioctl=0x5402,0x5403,0x5404 fd ioctl termios
ioctl=0x802c542a fd ioctl <termios2
ioctl=0x402c542b,0x402c542c,0x402c542d fd ioctl termios2
ioctl=0x5409,0x5425 fd ioctl int
ioctl=0x540a fd ioctl tcxonc
ioctl=0x540b fd ioctl tcflush
ioctl=0x125f,0x1261,0x1274,0x1275,0x1276,0x2202,0x4b36,0x4b37,0x4b3c,0x4b3d,0x4b63 fd ioctl
ioctl=0x4b6d,0x4c01,0x4c07,0x4c82,0x5204,0x5206,0x5207,0x540c,0x540d,0x541d,0x541f fd ioctl
ioctl=0x5422,0x5427,0x5428,0x5437,0x5450,0x5451,0x7001,0x7002,0x7003,0x7004,0x7005 fd ioctl
ioctl=0x7006,0x700f,0x7010,0x7014,0x9406,0x9407,0x9408,0x941c,0x942e,0xab03,0xab04 fd ioctl
ioctl=0xab05,0xab06,0xab08,0xb701,0xb702,0xb703,0x40049421,0x50009402,0x5000940c fd ioctl
ioctl=0x80045705,0xc0045877,0xc0045878 fd ioctl
ioctl=0x540e fd ioctl int
ioctl=0x540f,0x5429 fd ioctl <pids1
ioctl=0x5410 fd ioctl pids1
ioctl=0x5411,0x541b,0x5424,0x80045430 fd ioctl <ints1
ioctl=0x5420,0x5421,0x5452,0x40045431,0x541a fd ioctl ints1
ioctl=0x5415 fd ioctl <ints1
ioctl=0x5416,0x5417,0x5418 fd ioctl ints1
ioctl=0x5412 fd ioctl bare_char
ioctl=0x5413 fd ioctl <winsize
ioctl=0x5414 fd ioctl winsize
ioctl=0x80045440 fd ioctl <ints1
ioctl=0x5441 fd ioctl hex -> fd
ioctl=0x8903,0x8904 fd ioctl <ints1
ioctl=0x8901,0x8902 fd ioctl ints1
ioctl=0x8906 fd ioctl <timeval
ioctl=0x8907 fd ioctl <timespec
ioctl=0x8910,0x8913,0x8914,0x8915,0x8916,0x8917,0x8918,0x8919,0x891a,0x891b,0x891c fd ioctl ifreq
ioctl=0x891d,0x891e,0x8921,0x8922,0x8924,0x8927,0x8933,0x8942,0x8943,0x8970,0x8971 fd ioctl ifreq
ioctl=0x40049409 fd ioctl int
ioctl=0x80086601 fd ioctl <ints1
ioctl=0x40086602 fd ioctl ints1
ioctl=0x80081272 fd ioctl <u64
ioctl=0x125e,0x1268,0x127c,0x1278,0x127a,0x127b fd ioctl <ints1
ioctl=0x1260,0x1263,0x1265 fd ioctl <ulongs1
ioctl=0xb701,0xb702,0x8008b706 fd ioctl hex -> fd
"""

MEMORY = """\
brk ptr -> hex
mmap ptr size mmap_prot mmap_flags fd mmap_offset -> hex
mmap/i386 mmap_args -> hex
mmap2 ptr size mmap_prot mmap_flags fd mmap2_offset -> hex
munmap ptr size
mprotect ptr size mmap_prot
pkey_mprotect ptr size mmap_prot int
mremap ?3&2 ptr size size mremap_flags -> hex
mremap=2 ptr size size mremap_flags ptr -> hex
msync ptr size msync_flags
mincore ptr size <mincore:1
madvise ptr size madvice
process_madvise fd iovec_addr:2 size madvice uint
process_mrelease fd uint
mlock,munlock ptr size
mlock2 ptr size mlock2_flags
mlockall mlockall_flags
munlockall
remap_file_pages ptr size mmap_prot ulong mmap_flags
mbind ptr size mpol_mode nodemask:4 ulong mbind_flags
set_mempolicy mpol_mode nodemask:2 ulong
get_mempolicy <mpol_modep <nodemask:2 ulong ptr mpol_flags
set_mempolicy_home_node ptr size ulong hex
migrate_pages int ulong nodemask:1 nodemask:1
move_pages int ulong ptrs:1 ints:1 <ints:1 mbind_flags
pkey_alloc hex pkey_rights
pkey_free int
memfd_create str memfd_flags -> fd
memfd_secret cloexec_flags -> fd
mseal ptr size hex
map_shadow_stack ptr size shadow_stack_flags -> hex
membarrier ?1&1 membarrier_cmd membarrier_flags
membarrier=1 membarrier_cmd membarrier_flags int
userfaultfd uffd_flags -> fd
modify_ldt int ptr size -> int32
"""

PROCESS = """\
fork,vfork
clone/x86_64 clone_flags stack <tid <tid ptr
clone clone_flags stack <tid ptr <tid
clone3 =clone_args:1 size
execve !path !strings !envp
execveat !dirfd !path !strings !envp execveat_flags
exit,exit_group int
wait4 wait_pid <wait_status wait_options <rusage
waitpid wait_pid <wait_status wait_options
waitid waitid_type int <siginfo wait_options <rusage
kill,tkill int sig
tgkill int int sig
pidfd_open int pidfd_flags -> fd
pidfd_getfd fd fd hex -> fd
pidfd_send_signal fd sig siginfo pidfd_signal_flags
getpid,getppid,gettid,getpgrp,setsid,getuid,geteuid,getgid,getegid
getuid32,geteuid32,getgid32,getegid32
getpgid,getsid int
setpgid int int
setuid,setgid,setuid32,setgid32,setfsuid,setfsgid,setfsuid32,setfsgid32 uid
setreuid,setregid,setreuid32,setregid32 uid uid
setresuid,setresgid,setresuid32,setresgid32 uid uid uid
getresuid,getresgid,getresuid32,getresgid32 <uids1 <uids1 <uids1
getgroups,getgroups32 int <gids:r
setgroups,setgroups32 int gids:0
getpriority prio_which int
setpriority prio_which int int
nice int
sched_yield
sched_setscheduler int sched_policy sched_param
sched_getscheduler int -> sched_policy
sched_setparam int sched_param
sched_getparam int <sched_param
sched_setaffinity int uint cpuset:1
sched_getaffinity int uint <cpuset:r
sched_get_priority_max,sched_get_priority_min sched_policy
sched_rr_get_interval int <timespec
sched_rr_get_interval_time64 int <timespec64
sched_setattr int sched_attr uint
sched_getattr int <sched_attr uint uint
set_tid_address ptr
set_robust_list ptr ulong
get_robust_list int <ptrs1 <ulongs1
rseq hex hex hex hex
rseq_slice_yield
unshare unshare_flags
setns fd setns_flags
personality personality -> personality
ptrace ?0 ptrace_request int hex hex
ptrace=0 ptrace_request
ptrace=8,16,0x4207,0x4208 ptrace_request int
ptrace=12,13,14,15 ptrace_request int unused hex
ptrace=1,2 ptrace_request int ptr <ulongs1
ptrace=4,5 ptrace_request int ptr hex
ptrace=7,9,17,24,31,32,33 ptrace_request int ptr sig_or_zero
ptrace=21,0x4200,0x4206 ptrace_request int ptr ptrace_options
ptrace=0x4201 ptrace_request int ptr <ulongs1
ptrace=0x4202 ptrace_request int ptr <siginfo
ptrace=0x4203 ptrace_request int ptr siginfo
ptrace=0x4204,0x4205 ptrace_request int nt_type ptr
ptrace=0x420a,0x420b,0x420c,0x420d,0x420e ptrace_request int ulong ptr
process_vm_readv int <iovec_local:2 ulong iovec_addr:4 ulong ulong
process_vm_writev int iovec:2 ulong iovec_addr:4 ulong ulong
kcmp ?2 int int kcmp_type hex hex
kcmp=0 int int kcmp_type int int
kcmp=1,2,3,4,5,6 int int kcmp_type
kcmp=7 int int kcmp_type uint kcmp_slot
getrlimit resource <rlimit
setrlimit resource rlimit
ugetrlimit resource <rlimit
prlimit64 int resource rlimit64 <rlimit64
getrusage rusage_who <rusage
times <tms
acct path
capget !cap_header <cap_data
capset !cap_header cap_data
seccomp ?0 seccomp_op hex32 ptr
seccomp=1 seccomp_op seccomp_flags fprog
seccomp=2 seccomp_op hex32 seccomp_action
seccomp=3 seccomp_op hex32 <notif_sizes
ioprio_get ioprio_which int -> ioprio
ioprio_set ioprio_which int ioprio
arch_prctl ?0 arch_prctl hex
arch_prctl=0x1001,0x1002 arch_prctl ptr
arch_prctl=0x1003,0x1004 arch_prctl <ptrs1
arch_prctl=0x1011 arch_prctl
prctl ?0 prctl_option hex hex hex hex
prctl=1 prctl_option sig_or_zero
prctl=2 prctl_option <sigp
prctl=3 prctl_option -> suid_dump
prctl=7,13,21,30,31,32,46,51,64 prctl_option
prctl=34 prctl_option hex hex hex hex -> pr_mce_policy
prctl=39,56,61 prctl_option hex hex hex hex
prctl=27 prctl_option -> secbits
prctl=40 prctl_option <ptrs1
prctl=4 prctl_option suid_dump
prctl=8,10,12,14,20,29 prctl_option ulong
prctl=5,9,11,19 prctl_option ptr
prctl=6 prctl_option pr_unalign
prctl=25 prctl_option <tscs1
prctl=26 prctl_option pr_tsc
prctl=33 prctl_option pr_mce_kill pr_mce_policy hex hex
prctl=35 prctl_option pr_set_mm hex hex hex
prctl=45 prctl_option pr_fp_mode
prctl=50,63 prctl_option hex
prctl=52 prctl_option pr_spec -> pr_spec_flags
prctl=53 prctl_option pr_spec pr_spec_flags
prctl=54 prctl_option pr_pac_keys hex hex hex
prctl=57 prctl_option ulong hex hex hex
prctl=59 prctl_option pr_dispatch hex hex ptr
prctl=62 prctl_option pr_sched_core int pidtype hex
prctl=0x59616d61 prctl_option ptracer
prctl=15 prctl_option name16
prctl=16 prctl_option <name16
prctl=22 prctl_option seccomp_mode fprog
prctl=23,24 prctl_option capability
prctl=28 prctl_option secbits
prctl=36 prctl_option ulong
prctl=37 prctl_option <ints1
prctl=38,41 prctl_option ulong hex hex hex
prctl=47 prctl_option cap_ambient ambient_capability hex hex
prctl=0x53564d41 prctl_option pr_set_vma ptr ulong str
futex ?1&127 ptr futex_op uint ptr ptr hex32
futex=0 ptr futex_op uint timespec
futex=1 ptr futex_op uint
futex=9 ptr futex_op uint timespec unused futex_bitset
futex=2 ptr futex_op uint
futex=3 ptr futex_op uint uint ptr
futex=4 ptr futex_op uint uint ptr uint
futex=5 ptr futex_op uint uint ptr futex_wake_op
futex=6 ptr futex_op unused timespec
futex=7,8 ptr futex_op
futex=10 ptr futex_op uint unused unused futex_bitset
futex=11 ptr futex_op uint timespec ptr
futex=12 ptr futex_op uint uint ptr uint
futex=13 ptr futex_op unused timespec
futex_time64 ?1&127 ptr futex_op uint ptr ptr hex32
futex_time64=0 ptr futex_op uint timespec64
futex_time64=1 ptr futex_op uint
futex_time64=9 ptr futex_op uint timespec64 unused futex_bitset
futex_time64=2 ptr futex_op uint
futex_time64=3 ptr futex_op uint uint ptr
futex_time64=4 ptr futex_op uint uint ptr uint
futex_time64=5 ptr futex_op uint uint ptr futex_wake_op
futex_time64=6 ptr futex_op unused timespec64
futex_time64=7,8 ptr futex_op
futex_time64=10 ptr futex_op uint unused unused futex_bitset
futex_time64=11 ptr futex_op uint timespec64 ptr
futex_time64=12 ptr futex_op uint uint ptr uint
futex_time64=13 ptr futex_op unused timespec64
futex_waitv futex_waiters:1 uint hex32 timespec64 clockid
futex_wake ptr hex int futex2_flags
futex_wait ptr hex hex futex2_flags timespec64 clockid
futex_requeue ptr hex int int
reboot ?2 reboot_magic reboot_magic reboot_cmd
reboot=0xa1b2c3d4 reboot_magic reboot_magic reboot_cmd str
uname <utsname
olduname,oldolduname ptr
sysinfo <sysinfo
syslog ?0 syslog_action ptr int
syslog=0,1,5,6,7,9,10 syslog_action
syslog=2,3,4 syslog_action <buf:r int
sethostname,setdomainname str:1 uint
vhangup
iopl int
ioperm hex hex int
getcpu <uints1 <uints1 ptr
getrandom <hexbuf:r size grnd_flags
"""

SIGNALS = """\
rt_sigaction sig !sigaction <sigaction ulong
rt_sigprocmask sigmask_how !sigset:3 <sigset:3 ulong
rt_sigreturn !sigframe
rt_sigpending <sigset_part:1 ulong
rt_sigsuspend sigset:1 ulong
rt_sigtimedwait sigset:3 <siginfo timespec ulong -> sig
rt_sigtimedwait_time64 sigset:3 <siginfo timespec64 ulong -> sig
rt_sigqueueinfo int sig siginfo
rt_tgsigqueueinfo int int sig siginfo
sigaltstack !stack_t <stack_t
signalfd fd sigset:2 ulong -> fd
signalfd4 fd sigset:2 ulong signalfd_flags -> fd
pause
restart_syscall restarted
sigreturn !sigframe
sigaction sig ptr ptr
sigprocmask sigmask_how !old_sigset <old_sigset
sigpending <old_sigset
sigsuspend ptr
signal sig sighandler -> sighandler
sgetmask
ssetmask hex
"""

WAITING = """\
poll +pollfds:1 uint int
ppoll +pollfds:1 uint +timespec sigset:4 ulong
ppoll_time64 +pollfds:1 uint +timespec64 sigset:4 ulong
select int +fdset:0 +fdset:0 +fdset:0 +timeval
select/i386 ptr
_newselect int +fdset:0 +fdset:0 +fdset:0 +timeval
pselect6 int +fdset:0 +fdset:0 +fdset:0 +timespec sigset_pack
pselect6_time64 int +fdset:0 +fdset:0 +fdset:0 +timespec64 sigset_pack
epoll_create int -> fd
epoll_create1 epoll_flags -> fd
epoll_ctl ?1 fd epoll_op fd epoll_event
epoll_ctl=2 fd epoll_op fd ptr
epoll_wait fd <epoll_events:r int int
epoll_pwait fd <epoll_events:r int int <sigset:5 ulong
epoll_pwait2 fd <epoll_events:r int <timespec64 <sigset:5 ulong
eventfd uint -> fd
eventfd2 uint eventfd_flags -> fd
nanosleep !timespec ~timespec
clock_nanosleep clockid timer_flags !timespec ~timespec
clock_nanosleep_time64 clockid timer_flags !timespec64 ~timespec64
clock_gettime,clock_getres clockid <timespec
clock_gettime64,clock_getres_time64 clockid <timespec64
clock_settime clockid timespec
clock_settime64 clockid timespec64
clock_adjtime,clock_adjtime64 clockid <timex
adjtimex <timex
gettimeofday <timeval <timezone
settimeofday timeval timezone
time <time_p -> time
stime timep
alarm uint
getitimer itimer_which <itimerval
setitimer itimer_which itimerval <itimerval
timer_create clockid sigevent <ints1
timer_settime int timer_flags itimerspec <itimerspec
timer_settime64 int timer_flags itimerspec64 <itimerspec64
timer_gettime int <itimerspec
timer_gettime64 int <itimerspec64
timer_getoverrun,timer_delete int
timerfd_create clockid timerfd_flags -> fd
timerfd_settime fd timerfd_settime_flags itimerspec <itimerspec
timerfd_settime64 fd timerfd_settime_flags itimerspec64 <itimerspec64
timerfd_gettime fd <itimerspec
timerfd_gettime64 fd <itimerspec64
io_setup uint <ptrs1
io_destroy ptr
io_submit ptr long ptrs:1
io_cancel ptr ptr ptr
io_getevents ptr long long <io_events:r timespec
io_pgetevents ptr long long <io_events:r timespec sigset_pack
io_pgetevents_time64 ptr long long <io_events:r timespec64 sigset_pack
io_uring_setup uint =io_uring_params -> fd
io_uring_enter fd uint uint io_uring_enter_flags sigset:5 size
io_uring_register fd io_uring_op ptr uint
"""

NETWORK = """\
socket ?0 sock_domain sock_type ulong -> fd
socket=2,10 sock_domain sock_type ip_protocol -> fd
socket=16 sock_domain sock_type netlink_protocol -> fd
socket=17 sock_domain sock_type eth_protocol -> fd
socket=31 sock_domain sock_type bt_protocol -> fd
socketpair sock_domain sock_type ulong <pipefds
bind,connect fd sockaddr:2 int
listen fd int
accept fd <sockaddr:*2 =socklen -> fd
accept4 fd <sockaddr:*2 =socklen sock_flags -> fd
getsockname,getpeername fd <sockaddr:*2 =socklen
sendto fd buf:2 size msg_flags sockaddr:5 int
send fd buf:2 size msg_flags
recvfrom fd <buf:r size msg_flags <sockaddr:*5 =socklen
recv fd <buf:r size msg_flags
sendmsg fd msghdr msg_flags
recvmsg fd <msghdr msg_flags
sendmmsg fd mmsghdr:2 uint msg_flags
recvmmsg fd <mmsghdr:r uint msg_flags +timespec
recvmmsg_time64 fd <mmsghdr:r uint msg_flags +timespec64
shutdown fd shutdown_how
setsockopt fd sock_level sock_option sock_optval:4 int
getsockopt fd sock_level sock_option <sock_optval:*4 =optlen
socketcall socketcall_op ptr
"""

IPC = """\
shmget ipc_key size shm_flags
shmat int ptr shmat_flags -> hex
shmdt ptr
shmctl ?1&0xfeff int shm_cmd ptr
shmctl=1 int shm_cmd shmid_set
shmctl=2,13,15 int shm_cmd <shmid_stat
semget ipc_key int sem_flags
semop int sembufs:2 uint
semtimedop int sembufs:2 uint timespec
semtimedop_time64 int sembufs:2 uint timespec64
semctl ?2&0xfeff int int sem_cmd ptr
semctl=2,18,20 int int sem_cmd <semid_stat
msgget ipc_key msg_get_flags
msgsnd int msgbuf:2 ulong msgop_flags
msgrcv int <msgbuf:2 ulong long msgop_flags
msgctl ?1&0xfeff int msg_cmd ptr
msgctl=1 int msg_cmd msqid_set
msgctl=2,11,13 int msg_cmd <msqid_stat
ipc uint uint ulong ulong ptr long
mq_open ?1&0x40 path open_flags -> fd
mq_open=0x40 path open_flags open_mode mq_attr -> fd
mq_unlink path
mq_timedsend fd buf:2 size uint timespec
mq_timedsend_time64 fd buf:2 size uint timespec64
mq_timedreceive fd <buf:r size <uints1 timespec
mq_timedreceive_time64 fd <buf:r size <uints1 timespec64
mq_notify fd sigevent
mq_getsetattr fd mq_attr <mq_attr
add_key str str buf:3 size keyring
request_key str str str keyring
keyctl ?0 keyctl_op hex hex hex hex
keyctl=0 keyctl_op keyring int
keyctl=8,9,22 keyctl_op keyring keyring
keyctl=1 keyctl_op str
keyctl=2 keyctl_op keyring buf:3 size
keyctl=3,7,16,21 keyctl_op keyring
keyctl=4 keyctl_op keyring uid uid
keyctl=5 keyctl_op keyring key_perms
keyctl=6,11,17 keyctl_op keyring <keybuf:3 size
keyctl=10 keyctl_op keyring str str keyring
keyctl=12 keyctl_op keyring buf:3 size keyring
keyctl=13 keyctl_op keyring uint keyring
keyctl=14 keyctl_op key_reqkey
keyctl=15 keyctl_op keyring uint
keyctl=18 keyctl_op
keyctl=29 keyctl_op keyring str str
keyctl=30 keyctl_op keyring keyring keyring keyctl_move
"""

SYSTEM = """\
bpf bpf_cmd bpf_attr:2 uint
perf_event_open perf_attr int int fd perf_flags -> fd
init_module ptr ulong str
finit_module fd str module_flags
delete_module str delete_flags
create_module str size
get_kernel_syms ptr
query_module str int ptr size ptr
kexec_load ptr ulong ptr kexec_flags
kexec_file_load fd fd ulong str:2 kexec_file_flags
landlock_create_ruleset landlock_attr:1 size landlock_flags -> fd
landlock_add_rule ?1 fd landlock_rule ptr hex32
landlock_add_rule=1 fd landlock_rule landlock_beneath hex32
landlock_add_rule=2 fd landlock_rule landlock_port hex32
landlock_restrict_self fd hex32
lsm_get_self_attr uint ptr ptr hex
lsm_set_self_attr uint ptr uint hex
lsm_list_modules ptr ptr hex
listns ptr ptr size hex
sysfs hex hex hex
_sysctl ptr
nfsservctl hex hex hex
getpmsg,putpmsg,afs_syscall,vserver hex hex hex hex hex
tuxcall,security hex hex hex
epoll_ctl_old,epoll_wait_old hex hex hex hex
uretprobe
uprobe
set_thread_area user_desc
get_thread_area ptr
set_thread_area/x86_64,get_thread_area/x86_64 ptr
vm86,vm86old hex hex
bdflush int hex
idle
stty,gtty,prof,profil,ftime,lock,mpx,ulimit,break hex hex
"""

TEXT = "".join((FILES, IOCTL, MEMORY, PROCESS, SIGNALS, WAITING, NETWORK, IPC, SYSTEM))
