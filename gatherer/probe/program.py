"""The programs that are run in a container to learn about it. They write nothing and start little.

Two programs with the same output: one for a POSIX shell that may have nothing but its builtins,
one for a Python in an image without a shell. The output is read by `gatherer.probe.output`:
sections that begin with a line `@name`, each with the contents of a file or the lines of a loop.

- The processes of the container are those in the cgroup of the probe itself; where the PID
  namespace is shared there are others.
- Opening /proc/PID/mem asks the kernel exactly what PTRACE_SEIZE would (ptrace_may_access with
  PTRACE_MODE_ATTACH: users, capabilities, Yama, other security modules) and does nothing else.
- ptrace(2) and process_vm_readv(2) with the process id 0 answer ESRCH, or nothing, where they are
  allowed, and EPERM where a seccomp profile forbids them; no process is touched.
"""

from __future__ import annotations

from functools import cache

from gatherer.probe.interpreters import CANDIDATES, MINIMUM_VERSION
from hg_shared import mark

MAX_PROCESSES = 256
"""Processes looked at in a container without grep, whose shell reads a byte at a time."""

_FILES = (
    ("self", "/proc/self/status"),
    ("users", "/proc/self/uid_map"),
    ("mounts", "/proc/self/mountinfo"),
    ("release", "/proc/sys/kernel/osrelease"),
    ("yama", "/proc/sys/kernel/yama/ptrace_scope"),
    ("limit1", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ("usage1", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ("stat1", "/sys/fs/cgroup/memory/memory.stat"),
    ("limit2", "/sys/fs/cgroup/memory.max"),
    ("usage2", "/sys/fs/cgroup/memory.current"),
    ("stat2", "/sys/fs/cgroup/memory.stat"),
    ("quota1", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    ("period1", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ("cpu2", "/sys/fs/cgroup/cpu.max"),
)
_FIELDS = ("Name", "Pid", "PPid", "TracerPid", "Uid", "Gid", "VmRSS", "CapPrm")
_PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108

# Runs on Python 2 too, so that an old one can be named.
_RIGHTS = f"""\
import os,sys
w=sys.stdout.write
try:
 import ctypes as c
 h="ctypes"
except ImportError:
 h="-"
w("%d.%d.%d "%sys.version_info[:3]+h+" "+(sys.executable or sys.argv[1])+"\\n")
sys.stdout.flush()
if h!="-":
 l=c.CDLL(None,use_errno=True)
 def t(n,k,*a):
  c.set_errno(0)
  try:
   r=l[n](*a)
   w("call %s %d\\n"%(k,r<0 and c.get_errno()))
  except AttributeError:
   pass
 t("ptrace","ptrace",2,0,0,0)
 t("process_vm_readv","process_vm_readv",0,0,0,0,0,0)
 n={{"x86_64":321,"aarch64":280}}.get(os.uname()[4])
 if n:
  t("syscall","bpf",n,9999,0,0)
sys.stdout.flush()
sys.exit(h=="-" or sys.version_info<{MINIMUM_VERSION})
"""


@cache
def glance_script() -> str:
    """Returns a script for `sh -c` that runs nothing: memory, and where a Python is.

    A Python that only starts takes 3 MB of a container that may have none left.
    """
    files = "\n".join(f"c {name} {path}" for name, path in _FILES)
    return f"""\
{mark.SHELL}\
r(){{ {{ while IFS= read -r l||[ -n "$l" ];do printf '%s\\n' "$l";done <"$1"; }} 2>/dev/null; }}
c(){{ printf '@%s\\n' "$1"; r "$2"; }}
echo @begin
{files}
echo @located
for p in {" ".join(CANDIDATES)} /opt/*/bin/python3 /usr/local/*/bin/python3 \
/venv/bin/python3 /app/.venv/bin/python3;do
command -v "$p" 2>/dev/null&&break
done
:"""


@cache
def shell_script(root: str = "") -> str:
    """Returns the script for `sh -c`.

    Args:
        root: directory that stands for the container's root, for tests of the script.
    """
    files = "\n".join(f"c {name} {path}" for name, path in _FILES)
    fields = "|".join(_FIELDS)
    cases = "|".join(f"{name}:*" for name in _FIELDS)
    return f"""\
{mark.SHELL}\
R='{root}'
r(){{ {{ while IFS= read -r l||[ -n "$l" ];do printf '%s\\n' "$l";done <"$1"; }} 2>/dev/null; }}
s(){{ printf '@%s\\n' "$1"; }}
c(){{ s $1; r "$R$2"; }}
d(){{ [ -d "$R$1" ]&&[ -w "$R$1" ]&&[ -x "$R$1" ]&&printf '%s\\n' "$1"; }}
s begin
{files}
s machine
uname -m 2>/dev/null
s me
echo $$
s places
for i in {" ".join(_PLACES)} "$HOME" "$PWD";do [ -n "$i" ]&&d "$i";done
while read -r a a a a i a;do case $i in /proc*|/sys*|/dev|/dev/*);;*)d "$i";;esac;done \
<"$R/proc/self/mountinfo" 2>/dev/null
s processes
if command -v grep >/dev/null 2>&1;then
grep -hE '^({fields}):' "$R"/proc/[0-9]*/status 2>/dev/null
else n=0
for p in "$R"/proc/[0-9]*;do n=$((n+1));[ $n -gt {MAX_PROCESSES} ]&&s more&&break
{{ while IFS= read -r l;do case $l in {cases})printf '%s\\n' "$l";;esac;done <$p/status; }} \
2>/dev/null
done
fi
s own
{{ read -r m <"$R/proc/self/cgroup"&&for p in "$R"/proc/[0-9]*;do read -r l <"$p/cgroup"&&\
[ "$l" = "$m" ]&&printf '%s\n' "${{p##*/}}";done; }} 2>/dev/null
s opens
for p in "$R"/proc/[0-9]*;do {{ true <"$p/mem"; }} 2>/dev/null&&printf '%s\\n' "${{p##*/}}";done
s python
for p in {" ".join(CANDIDATES)} /opt/*/bin/python3 /usr/local/*/bin/python3 \
/venv/bin/python3 /app/.venv/bin/python3;do
command -v "$p" >/dev/null 2>&1||continue
"$p" -B -E -S -c '{_RIGHTS}' "$p" </dev/null 2>/dev/null
n=$?
[ $n = 0 ]&&break
[ $n -gt 128 ]&&echo "killed $n $p"
done
s end
:"""


@cache
def python_program(root: str = "") -> str:
    """Returns the program for `python3 -c` in a container without a shell; same output.

    Args:
        root: directory that stands for the container's root, for tests of the program.
    """
    return f"""\
{mark.PYTHON}\
import glob,os,sys
R={root!r}
w=sys.stdout.write
def s(n):
 w("@%s\\n"%n)
def r(p):
 try:
  with open(p,"rb") as f:
   return f.read().decode("utf-8","replace")
 except EnvironmentError:
  return ""
s("begin")
for n,p in {_FILES!r}:
 s(n)
 w(r(R+p).rstrip("\\n")+"\\n")
s("machine")
w(os.uname()[4]+"\\n")
s("me")
w("%d\\n"%os.getpid())
s("places")
m=[i.split()[4] for i in r(R+"/proc/self/mountinfo").splitlines() if len(i.split())>4]
m=[i for i in m if not (i+"/").startswith(("/proc/","/sys/","/dev/"))]
for i in list({_PLACES!r})+[os.environ.get("HOME",""),os.getcwd()]+m:
 if i and os.path.isdir(R+i) and os.access(R+i,os.W_OK|os.X_OK):
  w(i+"\\n")
s("processes")
a=glob.glob(R+"/proc/[0-9]*")
for p in a:
 for l in r(p+"/status").splitlines():
  if l.split(":")[0] in {_FIELDS!r}:
   w(l+"\\n")
s("own")
c=r(R+"/proc/self/cgroup").split("\\n")[0]
for p in a:
 if c and r(p+"/cgroup").split("\\n")[0]==c:
  w(os.path.basename(p)+"\\n")
s("opens")
for p in a:
 try:
  open(p+"/mem","rb").close()
  w(os.path.basename(p)+"\\n")
 except EnvironmentError:
  pass
s("python")
sys.stdout.flush()
{_RIGHTS.replace("sys.exit(", 's("end");sys.exit(')}"""
