"""The command line as a process: start-up, errors, and what it writes where."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.integration.hunter_session import wait_until
from tests.integration.tracee import TARGETS, Tracee, tracers

ROOT = Path(__file__).resolve().parents[2]
STEPS = TARGETS / "steps.py"
GATHERER = (sys.executable, "-m", "gatherer")
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{token: none}}}}]
current-context: x
"""


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GATHERER_", "KUBE"))}
    return subprocess.run(
        [*GATHERER, *map(str, words)],
        cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    # One thread that waits for nothing: its CPU time is what a user waits on a machine at rest.
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3, times
    code = (
        "import sys; from gatherer.commands import cli\n"
        "cli.main(['--help']); cli.main(['-p', 'x', '-m', 'y'])\n"
        "heavy = {'websockets', 'rich', 'asyncio', 'aiohttp', 'psutil'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_way_to_the_first_request_loads_no_generated_client(tmp_path: Path) -> None:
    """Models of all of the API's objects cost 1.2 s of CPU; see docs/dependencies.md."""
    kubeconfig = tmp_path / "config"
    cluster = {"server": "https://127.0.0.1:1"}
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    words = ["-p", "x", "-m", "50", "--plain", "--kubeconfig", str(kubeconfig)]
    code = (
        "import sys; from gatherer.commands import cli\n"
        f"code = cli.main({[*words, '-o', str(tmp_path / 'logs')]!r})\n"
        "import gatherer.kube.exec.session, gatherer.runtimes.kubernetes\n"
        "loaded = {'aiohttp', 'kubernetes', 'pydantic', 'requests'} & set(sys.modules)\n"
        "print(code, sorted(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "no connection to the API server https://127.0.0.1:1: connection refused" in done.stderr
    assert done.stdout == "3 ['aiohttp']\n"


def test_the_installed_commands_are_the_same_program() -> None:
    folder = Path(sys.executable).parent
    for name in ("gatherer", "kubectl-gatherer"):
        done = subprocess.run([folder / name, "--version"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("gatherer ")


@pytest.mark.parametrize(
    ("words", "code", "beginning"),
    [
        (["--runtime", "local"], 2, "--runtime local traces nothing by default; "),
        (["-p", "x", "-m", "many"], 2, "bad value for --memory: 'many' is no memory threshold; "),
        (["--runtime", "local", "--pid", "4194304"], 3, "no process 4194304 on this machine; "),
        (
            ["-p", "x", "--kubeconfig", "/nonexistent/config"],
            3,
            "",
        ),
    ],
)
def test_errors_are_one_line_on_stderr(
    words: list[str], code: int, beginning: str, tmp_path: Path
) -> None:
    output = tmp_path / "strace-logs"
    done = run(*words, "-o", output)
    assert done.returncode == code
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"gatherer: error: {beginning}")
    assert "; " in line
    assert not output.exists()


def test_an_output_directory_that_cannot_be_written(
    tmp_path: Path, start: Callable[..., Tracee]
) -> None:
    (tmp_path / "file").write_text("")
    target = start(sys.executable, STEPS)
    done = run("--runtime", "local", "--pid", target.pid, "-o", tmp_path / "file" / "logs")
    assert done.returncode == 3
    [line] = done.stderr.splitlines()
    assert line.endswith("Not a directory; give a directory that can be written with -o")
    assert tracers(target.pid) == {0}


def test_plain_lines_say_what_is_traced_and_why(
    tmp_path: Path, start: Callable[..., Tracee]
) -> None:
    target = start(sys.executable, STEPS, "\x1b[2Jevil")
    done = run(
        "--runtime", "local", "--pid", target.pid, "-f", "0.2", "--duration", "1",
        "-o", tmp_path / "logs",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("target: this machine, ")
    assert lines[1].startswith("hunter: 0.")
    assert "on Python 3." in lines[1]
    assert lines[2].startswith("engine: ")
    assert lines[3] == f"threshold: pid {target.pid} whatever its memory"
    assert "\x1b" not in done.stdout
    assert f"\\x1b[2Jevil {target.pid} uses " in done.stdout
    assert lines[-1] == f"capture directory: {tmp_path / 'logs'}"
    assert any("seen = " in line and line.endswith("; complete") for line in lines)


def test_json_lines_on_stdout_are_json(tmp_path: Path, start: Callable[..., Tracee]) -> None:
    target = start(sys.executable, STEPS, "\x1b[2Jevil")
    done = run(
        "--runtime", "local", "--pid", target.pid, "-f", "0.2", "--duration", "1", "--json",
        "-o", tmp_path / "logs",
    )  # fmt: skip
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said[0]["event"] == "start"
    assert said[-1]["event"] == "summary"
    assert said[-1]["complete"] is True
    assert "\x1b" not in done.stdout
    events = [json.loads(x) for x in (tmp_path / "logs" / "events.jsonl").read_text().splitlines()]
    names = {event["event"] for event in events}
    assert [x for x in said if x["event"] in names] == events


def test_quiet_writes_the_summary_only(tmp_path: Path, start: Callable[..., Tracee]) -> None:
    target = start(sys.executable, STEPS)
    done = run(
        "--runtime", "local", "--pid", target.pid, "-f", "0.2", "--duration", "1", "-q",
        "-o", tmp_path / "logs",
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.startswith("capture ended: duration\n")


def test_a_reader_that_goes_away_does_not_end_the_capture(
    tmp_path: Path, start: Callable[..., Tracee]
) -> None:
    target = start(sys.executable, STEPS)
    process = subprocess.Popen(
        [*GATHERER, "--runtime", "local", "--pid", str(target.pid), "-f", "0.2",
         "--duration", "2", "-o", str(tmp_path / "logs")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(30), err) == (0, b"")
    assert json.loads((tmp_path / "logs" / "session.json").read_text())["complete"] is True


def test_the_live_view_on_a_terminal(tmp_path: Path, start: Callable[..., Tracee]) -> None:
    target = start(sys.executable, STEPS, "\x1b]0;evil")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*GATHERER, "--runtime", "local", "--pid", str(target.pid), "-f", "0.2",
         "-o", str(tmp_path / "logs")],
        cwd=ROOT, stdout=follower, stderr=follower, stdin=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
    )  # fmt: skip
    os.close(follower)
    shown = bytearray()

    def read() -> bytes:
        if select.select([leader], [], [], 0)[0]:
            try:
                shown.extend(os.read(leader, 65536))
            except OSError:
                pass  # EIO: nobody has it open any more.
        return bytes(shown)

    log = f"__0_evil-{target.pid}.log"
    try:
        wait_until(lambda: b"PROCESS" in read() and log.encode() in read(), "the table", 20)
        target.ask("10")
        process.send_signal(signal.SIGINT)
        wait_until(lambda: b"capture directory: " in read(), "the summary", 20)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    text = shown.decode()
    assert "\x1b]0" not in text
    assert "\\x1b]0;evil" in text
    assert "capture ended: interrupted" in text


@pytest.mark.parametrize("moment", ["loading", "starting", "late"])
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_before_hunter_runs_leaves_nothing(
    tmp_path: Path, start: Callable[..., Tracee], moment: str, times: int
) -> None:
    target = start(sys.executable, STEPS)
    output = tmp_path / "new" / "logs"
    trace = tmp_path / "trace"
    # What it opens tells how far it is.
    signs = {
        "loading": "gatherer/commands/cli",
        "starting": f'mkdir("{output}"',
        "late": "gatherer.rendering.worker",
    }
    process = subprocess.Popen(
        ["strace", "-f", "-qq", "-e", "trace=openat,mkdir,execve", "-s", "300", "-o", trace,
         *GATHERER, "--runtime", "local", "--pid", str(target.pid), "-o", output],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(
        lambda: trace.exists() and signs[moment] in trace.read_text(errors="replace"), moment
    )
    pid = int(trace.read_text(errors="replace").split()[0])
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):  # It has ended already.
            os.kill(pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("gatherer: error: interrupted")
    assert not (tmp_path / "new").exists()
    assert tracers(target.pid) == {0}


@pytest.mark.parametrize("words", [("-p", "x"), ("-l", "a=b"), ("doctor", "-p", "x")])
def test_ctrl_c_while_the_api_server_does_not_answer(tmp_path: Path, words: Sequence[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        kubeconfig = tmp_path / "config"
        kubeconfig.write_text(KUBECONFIG.format(port=server.getsockname()[1]))
        output = () if "doctor" in words else ("-o", tmp_path / "logs")
        process = subprocess.Popen(
            [*GATHERER, *words, "--kubeconfig", kubeconfig, *output],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        connection, _ = server.accept()
        with connection:
            assert b" HTTP/1.1\r\n" in connection.recv(1000)
            process.send_signal(signal.SIGINT)
            # The server stays silent for as long as this takes.
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    [line] = err.splitlines()
    assert line.startswith("gatherer: error: interrupted")
    assert not (tmp_path / "logs").exists()
