"""What a program asks its system."""

import os
import resource
import sys

print("ready", flush=True)
sys.stdin.readline()
os.uname()
os.getgroups()
os.sched_getaffinity(0)
os.getpriority(os.PRIO_PROCESS, 0)
resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.umask(0o22)
os.nice(1)
os.getcwd()
os.listdir("/proc/self/fdinfo")
os.access("/etc/shadow", os.R_OK | os.W_OK)
os.path.exists("/nowhere")
os.memfd_create("memory", os.MFD_CLOEXEC)
try:
    os.setxattr("/proc/self/status", "user.x", b"value")
except OSError:
    pass
