"""What all tests share: signals as a terminal's shell leaves them.

A shell that starts a program in the background without job control has it ignore SIGINT, and what
it starts as well: then no Ctrl-C could be tested.
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
