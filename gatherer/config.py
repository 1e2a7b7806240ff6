"""The configuration of one capture, checked, and hunter's command line that follows from it."""

from __future__ import annotations

import getpass
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path

from gatherer.errors import ConfigError
from gatherer.redaction.masking import masked_text

_MAX_USER = 100


@dataclass(frozen=True)
class MemoryThreshold:
    """The value of `-m`: exactly one of the two is set.

    Attributes:
        percent: of the limit or of the node's memory, 0 to 100, as it was typed.
        size_bytes: RSS in bytes.
    """

    percent: str | None = None
    size_bytes: int | None = None

    def __str__(self) -> str:
        return f"{self.percent}%" if self.percent is not None else str(self.size_bytes)


DEFAULT_MEMORY = MemoryThreshold(percent="2.0")
DEFAULT_FREQUENCY = 5.0
DEFAULT_BUFFER = 4 << 20
DEFAULT_LINGER = 10.0
DEFAULT_WAIT = 300.0
DEFAULT_STRING_SIZE = 32
DEFAULT_AGENT_INTERVAL = 15.0
DEFAULT_MAX_LOG_SIZE = 2 << 30
DEFAULT_MAX_EXECS = 20
_JSON_NAMES = {
    "growth": "growth_bytes_per_second",
    "pids": "pid",
    "trace_set": "trace",
    "agents": "agent",
    "buffer": "buffer_bytes",
    "max_log_size": "max_log_size_bytes",
}
"""Fields of `CaptureConfig` that session.json calls something else."""


def this_user() -> str:
    """Returns who captures, as USER@HOST: hunters of others name it where they meet this one."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    name = f"{user}@{platform.node() or 'unknown'}"
    return re.sub(r"[^!-~]", "_", name)[:_MAX_USER]


@dataclass(frozen=True)
class TargetConfig:
    """The target that hunter goes to.

    Attributes:
        runtime: `kubernetes` or `local`.
        pod: pod name, empty with runtime `local`.
        container: container name, None for the only or default one.
        namespace: None for the context's.
        context: kubeconfig context, None for the current one.
        kubeconfig: path of the kubeconfig, None for kubectl's own search.
    """

    runtime: str = "kubernetes"
    pod: str = ""
    container: str | None = None
    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None


@dataclass(frozen=True)
class FleetConfig:
    """Many targets.

    Attributes:
        pods: pods and workloads, as `-p` names them.
        selector: labelSelector of pods, empty when there is none.
        max_execs: how many hunters are brought in at the same time.
    """

    pods: tuple[str, ...] = ()
    selector: str = ""
    max_execs: int = DEFAULT_MAX_EXECS


@dataclass(frozen=True)
class ViewConfig:
    """The view while capturing.

    Attributes:
        style: `live`, `plain` or `json`.
        color: whether colours may be used.
        verbosity: -1 quiet, 0 normal, 1 and more: every event.
    """

    style: str = "plain"
    color: bool = True
    verbosity: int = 0


@dataclass(frozen=True)
class LinesConfig:
    """The form of log lines, and the calls that have one.

    Attributes:
        string_size: bytes of a string that are shown.
        timestamps: what stands in front of a line; one of `Timestamps`.
        trace_set: which calls are shown, empty for all that were recorded.
        decode_fds: whether it is shown what descriptors refer to.
    """

    string_size: int = DEFAULT_STRING_SIZE
    timestamps: str = "time"
    trace_set: str = ""
    decode_fds: bool = False


@dataclass(frozen=True)
class CaptureConfig:
    """One capture: a field for each option, named and ordered as session.json has them.

    Attributes:
        target: where hunter goes.
        view: what is shown.
        memory: threshold, None when it was not given.
        of: what a percentage is of, `limit` or `node`.
        growth: bytes of RSS per second from which a process is traced, None for off.
        frequency: seconds between scans.
        pids: processes traced whatever their memory.
        trace_set: which syscalls are recorded, empty for all.
        string_size: bytes kept of each string.
        decode_fds: whether it is shown what descriptors refer to.
        timestamps: what stands in front of a line: `none`, `time`, `unix` or `relative`.
        raw: whether the record stream is kept.
        agents: node agents to pull from: `auto`, `none`, kinds, URLs.
        agent_interval: seconds between two scrapes of an agent.
        agent_heap: take a heap profile of each agent itself.
        buffer: bytes hunter keeps while the stream is slow.
        linger: seconds hunter waits for a lost gatherer.
        wait: seconds a container that does not run is waited for, 0 for not at all.
        restart: whether a restarted container is traced again.
        follow_forks: whether children of traced processes are traced too.
        engine: engine name, or `auto`.
        placement: `auto`, or `off`: whether the target may be moved to the tracer's CPU.
        max_overhead: share of its time that the target may lose, None for any.
        force: go on without memory headroom.
        inject: how hunter gets into a container.
        image: for an ephemeral container, None for one that suits.
        require_trace: end with an error where a process may not be traced.
        install: accepted and without effect: hunter is always brought along.
        duration: seconds until the capture is stopped, None for never.
        max_log_size: bytes of lines kept of each process.
        output: the capture directory.
        fleet: which targets, None for the one of `target`; with many, the pod of `target` is empty.
    """

    target: TargetConfig = field(default_factory=TargetConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    memory: MemoryThreshold | None = None
    of: str = "limit"
    growth: int | None = None
    frequency: float = DEFAULT_FREQUENCY
    pids: tuple[int, ...] = ()
    trace_set: str = ""
    string_size: int = DEFAULT_STRING_SIZE
    decode_fds: bool = False
    timestamps: str = "time"
    raw: bool = False
    agents: tuple[str, ...] = ("auto",)
    agent_interval: float = DEFAULT_AGENT_INTERVAL
    agent_heap: bool = False
    buffer: int = DEFAULT_BUFFER
    linger: float = DEFAULT_LINGER
    wait: float = DEFAULT_WAIT
    restart: bool = True
    follow_forks: bool = False
    engine: str = "auto"
    placement: str = "auto"
    max_overhead: float | None = None
    force: bool = False
    require_trace: bool = False
    inject: str = "auto"
    image: str | None = None
    install: bool = False
    duration: float | None = None
    max_log_size: int = DEFAULT_MAX_LOG_SIZE
    output: Path = Path("strace-logs")
    fleet: FleetConfig | None = None

    @property
    def pulls_agents(self) -> bool:
        """Whether node agents may be pulled: on this machine only by URL, none are looked for."""
        if self.target.runtime == "local":
            return any("://" in each for each in self.agents)
        return self.agents != ("none",)

    @property
    def only_pids(self) -> bool:
        """Whether the named processes alone are traced: `--pid` without `-m`."""
        return bool(self.pids) and self.memory is None

    @property
    def threshold(self) -> MemoryThreshold:
        """The memory threshold in force; meaningless with `only_pids`."""
        return self.memory or DEFAULT_MEMORY

    @property
    def lines(self) -> LinesConfig:
        """The form of the logs.

        Hunter records no other calls than those that were asked for, but where descriptors are
        decoded: then those that make and close them too.
        """
        hidden = self.trace_set if self.decode_fds else ""
        return LinesConfig(self.string_size, self.timestamps, hidden, self.decode_fds)

    def check(self) -> None:
        """Refuses combinations that make no sense.

        Raises:
            ConfigError: a target where there can be none, or none where there must be one.
        """
        target = self.target
        if target.runtime == "local":
            given = {
                "-p": target.pod or (self.fleet and self.fleet.pods),
                "-l": self.fleet and self.fleet.selector,
                "-c": target.container,
                "-n": target.namespace,
                "--context": target.context,
                "--kubeconfig": target.kubeconfig,
                "--inject": self.inject != "auto",
                "--image": self.image,
            }
            for option, value in given.items():
                if value:
                    raise ConfigError(
                        f"{option} has no meaning with --runtime local",
                        f"leave {option} out, or use --runtime kubernetes",
                    )
            if self.memory is None and not self.pids:
                raise ConfigError(
                    "--runtime local traces nothing by default",
                    "give a threshold such as -m 200Mi, or a process with --pid",
                )
        elif self.fleet is not None:
            if self.fleet.pods and self.fleet.selector:
                raise ConfigError(
                    "-p and -l exclude each other", "give pods with -p, or a selector with -l"
                )
        elif not target.pod:
            raise ConfigError(
                "no target",
                "give a pod with -p POD, pods with -l SELECTOR, or --runtime local",
            )
        self._check_agents()
        if self.image is not None and self.inject not in ("auto", "ephemeral"):
            raise ConfigError(
                f"--image has no meaning with --inject {self.inject}",
                "it is the image of an ephemeral container: leave one of them out",
            )
        if self.growth is not None and self.only_pids:
            raise ConfigError(
                "--growth has no effect with --pid alone", "give a threshold with -m as well"
            )

    def _check_agents(self) -> None:
        if "none" in self.agents and len(self.agents) > 1:
            raise ConfigError(
                "--agent none and another --agent exclude each other", "leave one of them out"
            )
        kinds = [each for each in self.agents if "://" not in each and each not in ("auto", "none")]
        if kinds and self.target.runtime == "local":
            raise ConfigError(
                f"--agent {kinds[0]} is looked for in a cluster only",
                "give its address, such as --agent http://localhost:80/metrics",
            )

    def hunter_arguments(self, without_ptrace: bool = False) -> list[str]:
        """Returns hunter's command line, without the program.

        Args:
            without_ptrace: after a hunter that was stuck no other one stops the target.
        """
        arguments = ["--only-pids"] if self.only_pids else ["--memory", str(self.threshold)]
        arguments += ["--of", self.of]
        if self.growth is not None:
            arguments += ["--growth", str(self.growth)]
        arguments += ["--frequency", f"{self.frequency:g}"]
        for pid in self.pids:
            arguments += ["--pid", str(pid)]
        if self.trace_set:
            arguments.append(f"--trace={self.trace_set}")
        arguments += ["--string-size", str(self.string_size)]
        arguments += ["--buffer", str(self.buffer), "--linger", f"{self.linger:g}"]
        if self.follow_forks:
            arguments.append("--follow-forks")
        if self.decode_fds:
            arguments.append("--decode-fds")
        engine = "auto" if without_ptrace and self.engine != "ebpf" else self.engine
        arguments += ["--engine", engine, "--placement", self.placement]
        if without_ptrace:
            arguments.append("--no-ptrace")
        if self.max_overhead is not None:
            arguments += ["--max-overhead", f"{self.max_overhead:g}"]
        if self.force:
            arguments.append("--force")
        return arguments

    def as_json(self) -> dict[str, object]:
        """Returns the options as session.json holds them."""
        written = {
            **vars(self),
            "memory": None if self.only_pids else str(self.threshold),
            "pids": list(self.pids),
            "trace_set": self.trace_set or None,
            "agents": [masked_text(_without_password(each)) for each in self.agents],
            "output": str(self.output),
        }
        for part in ("target", "view", "fleet"):
            del written[part]
        options = {_JSON_NAMES.get(name, name): value for name, value in written.items()}
        if self.fleet is not None:
            options["pods"] = list(self.fleet.pods)
            options["selector"] = self.fleet.selector or None
            options["container"] = self.target.container
            options["max_execs"] = self.fleet.max_execs
        return options


def _without_password(agent: str) -> str:
    """Returns a value of `--agent` as it may be written down."""
    scheme, separator, rest = agent.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
