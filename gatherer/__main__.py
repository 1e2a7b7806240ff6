"""The program: `gatherer`, `kubectl gatherer` and `python -m gatherer`."""

import os
import signal
import sys

INTERRUPTED = 1


def run() -> int:
    """Runs the command line of this process and returns the exit code."""
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if not ignored:
        signal.signal(signal.SIGINT, _end)
    from gatherer.commands.standard_streams import flush, open_closed
    from hg_shared import inherited_signals
    from hg_shared.mark import set_mark
    from hg_shared.open_files import raise_limit

    # Before everything else: no hunter may trace a gatherer, not even while it loads the rest.
    set_mark()
    inherited_signals.reset()
    open_closed()
    raise_limit()
    from gatherer.commands.cli import main

    try:
        if not ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = main()
    except KeyboardInterrupt:
        # One more than was waited for; the first has been answered.
        code = INTERRUPTED
    # Python's own end takes a while, and would answer with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    flush()
    _leave_threads(code)
    return code


def _end(_number: int, _frame: object) -> None:
    """Ends the process while it loads: there is nothing yet to give back."""
    os.write(2, b"gatherer: error: interrupted\n")
    os._exit(INTERRUPTED)


def _leave_threads(code: int) -> None:
    """Ends the process when a thread waits for something: Python would wait for the thread."""
    import threading

    if threading.active_count() > 1:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(run())
