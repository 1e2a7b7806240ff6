from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gatherer.commands import cli
from gatherer.commands.capture import ENGINES, capture, capture_config
from gatherer.config import CaptureConfig, FleetConfig, MemoryThreshold
from gatherer.errors import ConfigError, TargetNotFound
from hunter.cli import parse as hunter_parse
from hunter.engines.choose import ENGINES as HUNTER_ENGINES


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[CaptureConfig]:
    """Catches the configuration instead of capturing."""
    seen: list[CaptureConfig] = []

    def run_capture(config: CaptureConfig, _stdout: object) -> int:
        seen.append(config)
        return 0

    monkeypatch.setattr("gatherer.commands.run.run_capture", run_capture)
    return seen


def test_the_line_of_the_seed_needs_no_command(configs: list[CaptureConfig]) -> None:
    words = "-p problempod -c buggycontainer -m 50 -f 2 -i".split()
    assert cli.main(words) == 0
    assert cli.main(["capture", *words]) == 0
    [config, same] = configs
    assert config == same
    assert (config.target.pod, config.target.container) == ("problempod", "buggycontainer")
    assert config.memory == MemoryThreshold(percent="50")
    assert config.frequency == 2.0
    assert config.install


def test_every_option_arrives(configs: list[CaptureConfig]) -> None:
    words = [
        "--runtime", "local", "--memory", "200Mi", "--of", "node", "--growth", "5Mi/s",
        "--pid", "11", "--pid", "12", "--pid", "11", "-e", "%memory", "-s", "64", "-o", "out",
        "--duration", "5m", "--buffer", "8Mi", "--linger", "3", "--engine", "ptrace-python",
        "--placement", "off", "--max-overhead", "10%", "--force", "--json", "--no-color",
    ]  # fmt: skip
    assert cli.main(words) == 0
    [config] = configs
    assert config.pids == (11, 12)
    assert (config.output, config.duration) == (Path("out"), 300.0)
    assert config.view.style == "json"
    assert not config.view.color
    assert config.hunter_arguments() == [
        "--memory", str(200 << 20), "--of", "node", "--growth", str(5 << 20), "--frequency", "5",
        "--pid", "11", "--pid", "12", "--trace=%memory", "--string-size", "64",
        "--buffer", str(8 << 20), "--linger", "3", "--engine", "ptrace-python",
        "--placement", "off", "--max-overhead", "0.1", "--force",
    ]  # fmt: skip


def test_pid_without_memory_traces_only_these(configs: list[CaptureConfig]) -> None:
    assert cli.main(["--runtime", "local", "--pid", "11"]) == 0
    assert configs[0].hunter_arguments()[:3] == ["--only-pids", "--of", "limit"]
    assert cli.main(["--runtime", "local", "--pid", "11", "-m", "50"]) == 0
    assert configs[1].hunter_arguments()[:2] == ["--memory", "50%"]


def test_the_environment_gives_options(
    configs: list[CaptureConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "GATHERER_POD": "problempod",
        "GATHERER_MEMORY": "12.5%",
        "GATHERER_STRING_SIZE": "8",
        "GATHERER_PID": "11 12",
        "GATHERER_PLAIN": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert cli.main([]) == 0
    [config] = configs
    assert config.target.pod == "problempod"
    assert config.memory == MemoryThreshold(percent="12.5")
    assert (config.string_size, config.pids) == (8, (11, 12))


def test_every_option_has_its_environment_variable() -> None:
    for parameter in capture.params:
        assert isinstance(parameter, click.Option)
        if parameter.name == "help":
            continue
        long = next(name for name in parameter.opts if name.startswith("--"))
        assert parameter.envvar == "GATHERER_" + long[2:].upper().replace("-", "_")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "no target; give a pod with -p POD, pods with -l SELECTOR, or --runtime local"),
        (
            ["-m", "50"],
            "no target; give a pod with -p POD, pods with -l SELECTOR, or --runtime local",
        ),
        (
            ["-p", "x", "-m", "5O"],
            "bad value for --memory: '5O' is no memory threshold; give a percentage such as 50 or"
            " 12.3%, or a size such as 200Mi",
        ),
        (
            ["-p", "x", "--duration", "soon"],
            "bad value for --duration: 'soon' is no duration; give one such as 30, 30s or 5m",
        ),
        (
            ["-p", "x", "--of", "pod"],
            "Invalid value for '--of': 'pod' is not one of 'limit', 'node';"
            " see gatherer capture --help",
        ),
        (
            ["-p", "x", "--timestamps", "utc"],
            "Invalid value for '--timestamps': 'utc' is not one of 'none', 'time', 'unix',"
            " 'relative'; see gatherer capture --help",
        ),
        (
            ["render", "there-is-none"],
            "there is no there-is-none; give a records.hgs, or a capture directory that holds one",
        ),
        (
            ["-p", "x", "--memroy", "5"],
            "no option '--memroy' (did you mean --memory?); see gatherer capture --help",
        ),
        (
            ["doctor", "-p", "x", "--jsn"],
            "no option '--jsn' (did you mean --json?); see gatherer doctor --help",
        ),
        (["-p", "x", "--zzz"], "no option '--zzz'; see gatherer capture --help"),
        (["-p", "x", "-Z"], "no option '-Z'; see gatherer capture --help"),
        (
            ["-p", "x", "-e", "opennat"],
            "bad value for --trace: 'opennat' is no system call (did you mean openat?);"
            " write for example openat,read or %file",
        ),
        (
            ["-p", "x", "-e", "read,%memry"],
            "bad value for --trace: '%memry' is no class of system calls (did you mean %memory?);"
            " write for example %memory %file %desc %network %process %signal",
        ),
        (
            ["captrue"],
            "no command 'captrue' (did you mean capture?); commands are capture, demo, doctor,"
            " render; a pod is given with -p POD",
        ),
        (["-p"], "Option '-p' requires an argument; see gatherer capture --help"),
        (
            ["-p", "x", "extra"],
            "Got unexpected extra argument (extra); see gatherer capture --help",
        ),
        (
            ["problempod"],
            "no command 'problempod'; commands are capture, demo, doctor, render;"
            " a pod is given with -p POD",
        ),
        (
            ["--runtime", "local"],
            "--runtime local traces nothing by default;"
            " give a threshold such as -m 200Mi, or a process with --pid",
        ),
        (
            ["--runtime", "local", "-m", "50", "-p", "x"],
            "-p has no meaning with --runtime local;"
            " leave -p out, or use --runtime kubernetes",
        ),
        (
            ["--runtime", "local", "--pid", "1", "--growth", "1Mi/s"],
            "--growth has no effect with --pid alone; give a threshold with -m as well",
        ),
        (
            ["-p", "x", "--plain", "--json"],
            "--plain and --json exclude each other; leave one of them out",
        ),
        (
            ["-p", "x", "--pid", "\x1b[2J"],
            "bad value for --pid: '\\x1b[2J' is no process id; give a number such as 4711",
        ),
    ],
)  # fmt: skip
def test_usage_errors_are_one_line_and_2(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"gatherer: error: {line}\n")


def test_errors_are_one_line_with_their_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_config: object, _stdout: object) -> int:
        raise TargetNotFound("no pod\n'x\x1b[31m'", "see kubectl get pods")

    monkeypatch.setattr("gatherer.commands.run.run_capture", fail)
    assert cli.main(["-p", "x"]) == 3
    line = "gatherer: error: no pod 'x\\x1b[31m'; see kubectl get pods\n"
    assert capsys.readouterr() == ("", line)
    assert cli.main(["-p", "x", "--debug"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith(line)


def test_what_asyncio_says_of_the_background_is_for_debugging(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def reset() -> int:
        error = ConnectionResetError("reset while it was closed")
        asyncio.get_running_loop().call_exception_handler({"message": "late", "exception": error})
        return 0

    def run_capture(_config: object, _stdout: object) -> int:
        return asyncio.run(reset())

    monkeypatch.setattr("gatherer.commands.run.run_capture", run_capture)
    assert cli.main(["-p", "x"]) == 0
    assert caplog.records == []
    assert cli.main(["-p", "x", "--debug"]) == 0
    assert [record.name for record in caplog.records] == ["asyncio"]


def test_an_unexpected_error_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_config: object, _stdout: object) -> int:
        raise RuntimeError("boom\nboom")

    monkeypatch.setattr("gatherer.commands.run.run_capture", fail)
    assert cli.main(["-p", "x"]) == 1
    err = capsys.readouterr().err
    assert err == (
        "gatherer: error: unexpected RuntimeError: boom boom;"
        " run again with --debug and report it\n"
    )


@pytest.mark.parametrize(
    ("words", "pod", "fleet"),
    [
        (["-p", "web-1"], "web-1", None),
        (["-p", "pod/web-1"], "web-1", None),
        (["-p", "web-1", "-p", "po/web-1"], "web-1", None),
        (["-p", "web-1", "-c", "*"], "", FleetConfig(("web-1",))),
        (["-p", "web-1", "-p", "web-2"], "", FleetConfig(("web-1", "web-2"))),
        (["-p", "deploy/web"], "", FleetConfig(("deploy/web",))),
        (["-l", "app=web", "--max-execs", "5"], "", FleetConfig((), "app=web", 5)),
    ],
)
def test_one_target_or_many(
    configs: list[CaptureConfig], words: list[str], pod: str, fleet: FleetConfig | None
) -> None:
    assert cli.main(words) == 0
    [config] = configs
    assert (config.target.pod, config.fleet) == (pod, fleet)
    options = config.as_json()
    assert ("selector" in options) is (fleet is not None)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-p", "a", "-l", "b=c"], "-p and -l exclude each other; give pods with -p, or"),
        (["-p", "node/n1"], "bad value for --pod: 'node' is no type that has pods; give POD,"),
        (["--runtime", "local", "-l", "a=b"], "-l has no meaning with --runtime local;"),
        (["--runtime", "local", "-p", "deploy/x"], "-p has no meaning with --runtime local;"),
    ],
)
def test_targets_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err.startswith(f"gatherer: error: {line}")


def test_help_shows_the_options_of_capture(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    _, _, options = shown.partition("Options of capture, the default command:")
    for parameter in capture.params:
        for name in parameter.opts:
            assert name in options
    for command in cli.cli.commands:
        assert f"  {command} " in shown


def test_unknown_variables_are_told(
    configs: list[CaptureConfig],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in (
        "GATHERER_MEMROY", "GATHERER_", "GATHERER_DEBUG", "GATHERER_KUBECONFIG",
        # Kubernetes makes these in pods of the namespace of a service `gatherer`.
        "GATHERER_SERVICE_HOST", "GATHERER_SERVICE_PORT", "GATHERER_SERVICE_PORT_HTTP",
        "GATHERER_PORT", "GATHERER_PORT_80_TCP", "GATHERER_PORT_80_TCP_ADDR",
    ):  # fmt: skip
        monkeypatch.setenv(name, "")
    assert cli.main(["-p", "x"]) == 0
    assert len(configs) == 1
    assert capsys.readouterr().err.splitlines() == [
        "gatherer: warning: the environment variable 'GATHERER_' is of no option",
        "gatherer: warning: the environment variable 'GATHERER_MEMROY' is of no option"
        " (did you mean GATHERER_MEMORY?)",
    ]
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().err == ""


def test_help_and_version() -> None:
    runner = CliRunner()
    assert runner.invoke(cli.cli, ["--version"]).output.startswith("gatherer 0.")
    text = runner.invoke(cli.cli, ["capture", "--help"]).output
    assert "--inject" in text
    assert "--image" in text


def test_the_style_follows_the_terminal() -> None:
    given = {p.name: p.get_default(click.Context(capture)) for p in capture.params}
    given |= {"pod": ("x",), "selector": None, "pid": (), "agent": (), "memory": None}
    flags = ("install", "force", "plain", "json", "no_color", "quiet", "verbose")
    given |= dict.fromkeys(flags, False)
    assert capture_config(given, terminal=True).view.style == "live"
    assert capture_config(given, terminal=False).view.style == "plain"
    assert capture_config(given | {"plain": True}, terminal=True).view.style == "plain"
    assert capture_config(given | {"quiet": True}, terminal=True).view.verbosity == -1
    with pytest.raises(ConfigError):
        capture_config(given | {"quiet": True, "json": True}, terminal=True)


def test_agents_arrive_and_no_password_is_written_down(configs: list[CaptureConfig]) -> None:
    url = "http://me:secret@10.0.0.5:80/metrics"
    words = ["-p", "x", "--agent", "coroot", "--agent", url, "--agent-interval", "3"]
    assert cli.main(words) == 0
    assert cli.main(["-p", "x"]) == 0
    given, default = configs
    assert (given.agents, given.agent_interval) == (("coroot", url), 3.0)
    assert given.as_json()["agent"] == ["coroot", "http://10.0.0.5:80/metrics"]
    assert (default.agents, default.agent_interval) == (("auto",), 15.0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("-p x --agent none --agent coroot", "--agent none and another --agent exclude each other"),
        ("--runtime local --pid 1 --agent parca", "--agent parca is looked for in a cluster only"),
        ("-p x --agent proxy", "'proxy' is no agent; give one of auto"),
        ("-p x --agent-interval 0.1", "'0.1' is out of range, 1 to 3600"),
    ],
)
def test_agents_that_make_no_sense(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words.split()) == 2
    assert told in capsys.readouterr().err


def test_the_plugin_of_kubectl_is_the_same_program() -> None:
    root = Path(__file__).parents[4]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl-gatherer"] == scripts["gatherer"] == "gatherer.__main__:run"


def test_hunter_understands_what_gatherer_says() -> None:
    assert set(ENGINES) <= set(HUNTER_ENGINES)
    for config in (
        CaptureConfig(),
        CaptureConfig(memory=MemoryThreshold(percent="12.3"), growth=1, pids=(1, 2)),
        CaptureConfig(memory=MemoryThreshold(size_bytes=200 << 20), of="node", frequency=0.05),
        CaptureConfig(pids=(7,), trace_set="!%memory", string_size=0, linger=1.5, force=True),
        CaptureConfig(trace_set="-x", buffer=1 << 30, growth=900_000_000, engine="ptrace"),
    ):
        understood = hunter_parse(config.hunter_arguments())
        another = hunter_parse(config.hunter_arguments(without_ptrace=True))
        assert another.no_ptrace
        assert not understood.no_ptrace
        assert another.engine == ("ebpf" if understood.engine == "ebpf" else "auto")
        assert understood.frequency == config.frequency
        assert understood.pids == config.pids
        assert understood.only_pids == config.only_pids
        assert understood.trace == config.trace_set
        assert understood.string_size == config.string_size
        assert understood.buffer_bytes == config.buffer
        assert understood.linger == config.linger
        assert understood.engine == config.engine
        assert understood.force == config.force
        assert understood.threshold.of == config.of
        assert understood.threshold.growth == config.growth
        if not config.only_pids:
            assert understood.threshold.size == config.threshold.size_bytes
            percent = config.threshold.percent
            assert understood.threshold.percent == (None if percent is None else float(percent))
