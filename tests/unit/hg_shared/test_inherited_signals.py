"""What is inherited of signals is put right before anything relies on them."""

from __future__ import annotations

import signal
from typing import Iterator

import pytest

from hg_shared import inherited_signals


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers = {n: signal.getsignal(n) for n in (*inherited_signals.NEEDED, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_what_is_needed_is_as_if_nothing_was_inherited() -> None:
    for number in (*inherited_signals.NEEDED, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    inherited_signals.reset()
    assert signal.SIGCHLD in inherited_signals.NEEDED
    assert {signal.getsignal(n) for n in inherited_signals.NEEDED} == {signal.SIG_DFL}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, "nohup means it"
