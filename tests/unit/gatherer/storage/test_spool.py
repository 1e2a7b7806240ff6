from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from gatherer.errors import LogWriteError
from gatherer.storage.spool import SpoolReader, SpoolWriter
from hg_shared.framing import Frame, FrameDecoder


def test_a_spool_is_itself_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "records.hgs.partial"
    frames = [Frame(2, n, bytes([n]) * n) for n in range(1, 9)]
    spool = SpoolWriter(path)
    for frame in frames:
        spool.append(frame.encode())
    assert spool.size == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    decoder = FrameDecoder()
    with SpoolReader(path) as reader:
        while data := reader.read(5):
            decoder.receive_data(data)
        assert reader.offset == spool.size
    assert decoder.frames_received() == frames
    spool.sync()
    spool.remove()
    assert not path.exists()
    spool.remove()


def test_an_earlier_spool_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"precious")
    with pytest.raises(LogWriteError, match="File exists"):
        SpoolWriter(path)
    assert path.read_bytes() == b"precious"


def test_a_write_that_fails_half_way_leaves_whole_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    spool = SpoolWriter(path)
    spool.append(b"whole")
    real = os.write
    calls = []

    def write(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return real(descriptor, data[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(LogWriteError, match="free some space"):
            spool.append(b"frame")
    assert path.read_bytes() == b"whole"
    assert spool.size == 5
    spool.append(b"again")
    assert path.read_bytes() == b"wholeagain"


def test_a_missing_spool_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LogWriteError, match="leave the capture directory in place"):
        SpoolReader(tmp_path / "none")
