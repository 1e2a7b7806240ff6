"""Signals as Python handles them."""

import os
import signal
import sys
import time

print("ready", flush=True)
sys.stdin.readline()
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
os.kill(os.getpid(), signal.SIGUSR1)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
os.kill(os.getpid(), signal.SIGUSR2)
signal.sigpending()
signal.sigwait({signal.SIGUSR2})
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2, signal.SIGTERM})
signal.setitimer(signal.ITIMER_REAL, 0)
signal.siginterrupt(signal.SIGUSR1, False)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGUSR1)
time.sleep(0.001)
os.kill(os.getpid(), signal.SIGTERM)
