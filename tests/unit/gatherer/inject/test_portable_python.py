"""Bundles as files: packed, read again, refused; what makes one complete. Making one is in
tests/integration."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import DeployError
from gatherer.inject import portable_python as module
from gatherer.inject.elf import ElfFile
from gatherer.inject.portable_python import (
    LOADER,
    PROGRAM,
    PortablePython,
    find_bundle,
    why_not_here,
)
from gatherer.target.values import HunterImage

FILES = {LOADER: b"loader", PROGRAM: b"python" * 100, "lib/libc.so.6": b"c", "lib/x/os.py": b""}
BUNDLE = PortablePython("x86_64", "3.11.2", FILES)
HUNTER = HunterImage(b"zipapp", "00" * 32)


def test_packed_and_read_again() -> None:
    data = BUNDLE.to_zip()
    assert PortablePython.from_zip(data) == BUNDLE
    assert BUNDLE.to_zip() == data
    assert BUNDLE.size == sum(map(len, FILES.values()))


def test_the_digest_is_of_names_and_contents() -> None:
    digests = {BUNDLE.digest}
    for changed in ({**FILES, LOADER: b"other"}, {**FILES, "more": b""}):
        digests.add(PortablePython("x86_64", "3.11.2", changed).digest)
    renamed = {path.replace("libc", "libd"): data for path, data in FILES.items()}
    digests.add(PortablePython("x86_64", "3.11.2", renamed).digest)
    assert len(digests) == 4


def packed(files: dict[str, bytes], comment: bytes = b"hunter-bundle x86_64 3.11.2") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 and no more",
        packed(FILES, b""),
        packed(FILES, b"other x86_64 3.11.2"),
        packed({"lib/libc.so.6": b"c"}),
        packed({**FILES, "../../etc/passwd": b"root"}),
        packed({**FILES, "/etc/passwd": b"root"}),
    ],
)
def test_what_is_no_bundle(data: bytes) -> None:
    with pytest.raises(ValueError):
        PortablePython.from_zip(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        PortablePython.from_zip(data)


def test_one_beside_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = tmp_path / "hunter-gatherer"
    place.mkdir()
    there = PortablePython("riscv64", "3.12.1", FILES)
    (place / "hunter-bundle-riscv64.zip").write_bytes(there.to_zip())
    assert find_bundle("riscv64", HUNTER) == there
    (place / "hunter-bundle-s390x.zip").write_bytes(there.to_zip())
    with pytest.raises(DeployError, match=r"is for riscv64, not s390x; remove it"):
        find_bundle("s390x", HUNTER)
    (place / "hunter-bundle-s390x.zip").write_bytes(b"half a file")
    with pytest.raises(DeployError, match="cannot be used: no bundle"):
        find_bundle("s390x", HUNTER)


def test_where_none_can_be_made_it_is_said_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert why_not_here("x86_64") == "this machine does not run Linux but darwin"
    with pytest.raises(DeployError) as caught:
        find_bundle("x86_64", HUNTER)
    assert (
        "python -m gatherer.inject.portable_python hunter-bundle-x86_64.zip" in caught.value.remedy
    )
    assert "--inject ephemeral" in caught.value.remedy


def test_another_architecture_cannot_be_made_here() -> None:
    if sys.platform == "linux":
        assert why_not_here("sparc64").startswith("this machine is ")


LIBC = ElfFile("x86_64", "", "libc.so.6", ())


@pytest.mark.parametrize(
    ("needed", "files", "words"),
    [
        ({}, {}, "has no dynamic loader"),
        (
            {"a": ElfFile("x86_64", "", "", ("libq.so.1",))},
            {LOADER: b""},
            "a needs libq.so.1, which was not loaded",
        ),
    ],
)
def test_a_bundle_that_would_not_start(
    needed: dict[str, ElfFile], files: dict[str, bytes], words: str
) -> None:
    with pytest.raises(DeployError, match=words):
        module._check_closure(needed, files)


def test_a_bundle_that_is_complete() -> None:
    program = ElfFile("x86_64", "/lib/ld.so", "", ("libc.so.6",))
    module._check_closure({"p": program, "c": LIBC}, {LOADER: b"", "lib/libc.so.6": b""})
    musl = ElfFile("x86_64", "/lib/ld-musl-x86_64.so.1", "", ("libc.musl-x86_64.so.1",))
    module._check_closure({"p": musl}, {LOADER: b""})
