"""Programs started by a program."""

import os
import subprocess
import sys

print("ready", flush=True)
sys.stdin.readline()
subprocess.run(["/bin/true"], check=True)
subprocess.run(["/bin/sh", "-c", "exit 3"], check=False)
subprocess.run(["/bin/echo", "one"], stdout=subprocess.PIPE, check=True)
try:
    subprocess.run(["/nowhere/program"], check=False)
except FileNotFoundError:
    pass
pid = os.fork()
if pid == 0:
    os._exit(5)
os.waitpid(pid, 0)
os.waitstatus_to_exitcode(1280)
