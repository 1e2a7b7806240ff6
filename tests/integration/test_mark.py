"""The mark, on every process of ours and on no other; read as another user's hunter reads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hg_shared import mark
from tests.integration.gatherer_process import ROOT, GathererProcess
from tests.integration.tracee import TARGETS, Tracee, status_field

SHELLS = (("dash",), ("bash",), ("busybox", "sh"))
SHOW = "cat /proc/self/status"


def sig_ign(status: str) -> str:
    return next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: words[0])
def test_a_shell_passes_it_on(shell: tuple[str, ...]) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    done = subprocess.run(
        [*shell, "-c", f"{mark.SHELL}{SHOW}; exec {sys.executable} -c 'print(1)'"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert mark.is_marked(sig_ign(done.stdout))
    assert done.stderr == ""


def test_a_shell_may_be_interrupted_all_the_same() -> None:
    script = f"{mark.SHELL}kill -TERM $$; echo not reached"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-15, "")


def test_a_python_sets_it_with_nothing_imported() -> None:
    text = (
        f"{mark.PYTHON}import sys\n"
        "print('enum' in sys.modules)\n"
        "print(open('/proc/self/status').read())"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", text], capture_output=True, text=True)
    first, _, status = done.stdout.partition("\n")
    assert first == "False"
    assert mark.is_marked(sig_ign(status))


PLUGIN = """\
import asyncio, sys
from hg_shared.mark import set_mark
set_mark()
from gatherer.errors import GathererError
from gatherer.kube.auth.exec_credential import API_VERSIONS, run_plugin
from gatherer.kube.auth.selection import Cluster, ExecPlugin
plugin = ExecPlugin(sys.argv[1], API_VERSIONS[0])
try:
    asyncio.run(run_plugin(plugin, Cluster("https://127.0.0.1")))
except GathererError as error:
    print(error)
print(open("/proc/self/status").read())
"""


def test_a_credential_plugin_does_not_inherit_it(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\n{SHOW} >{tmp_path}/status\necho no credential\n")
    plugin.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", PLUGIN, plugin], capture_output=True, text=True, cwd=ROOT
    )
    assert "printed no ExecCredential" in done.stdout.splitlines()[0]
    assert mark.is_marked(sig_ign(done.stdout))
    assert int(sig_ign((tmp_path / "status").read_text()), 16) >> 34 == 0


@pytest.mark.parametrize("engine", ["ptrace", "ptrace-python"])
def test_all_processes_of_a_capture_carry_it_and_its_target_does_not(
    engine: str, start: Callable[..., Tracee], tmp_path: Path
) -> None:
    target = start(sys.executable, TARGETS / "steps.py")
    capture = GathererProcess(tmp_path / "logs", ("--pid", target.pid, "--engine", engine))
    try:
        capture.wait_for("attach")
        ours = [capture.process.pid]
        ours += [child.pid for child in psutil.Process(ours[0]).children(recursive=True)]
        assert capture.hunter_pid() in ours
        # gatherer, its renderer, hunter, and the watchdog where there are CPUs to choose from.
        assert len(ours) >= 3
        assert {pid: mark.is_marked(status_field(pid, "SigIgn")) for pid in ours} == dict.fromkeys(
            ours, True
        )
        assert not mark.is_marked(status_field(target.pid, "SigIgn"))
        capture.interrupt()
        assert capture.finish()[0] == 0
    finally:
        capture.close()


def test_what_the_demo_traces_is_not_ours() -> None:
    script = f"{mark.SHELL}exec {sys.executable} -m gatherer.commands.demo_leak"
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        assert int(status_field(program.pid, "SigIgn"), 16) >> 34 == 0
        program.communicate()
