"""In a user namespace, as pods with `hostUsers: false` have one: capabilities, but no bpf(2)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNSHARE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
SCRIPT = """
"$1" -c 'import os\nwhile True: os.stat("/etc")' &
target=$!
"$1" -m gatherer --runtime local --plain --pid $target --duration 1 -o "$2"
code=$?
kill $target
exit $code
"""


def allowed() -> bool:
    """Whether this user may make user namespaces."""
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and not subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode
    )


@pytest.mark.skipif(not allowed(), reason="user namespaces cannot be made here")
def test_a_capture_in_a_user_namespace(tmp_path: Path) -> None:
    output = tmp_path / "logs"
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", SCRIPT, "sh", sys.executable, output],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    session = json.loads((output / "session.json").read_text())
    assert session["engine"]["name"] == "ptrace"
    assert "user namespace" in session["engine"]["reason"]
    assert session["complete"] is True
    [log] = output.glob("*.log")
    assert log.read_text().count('"/etc"') > 100
