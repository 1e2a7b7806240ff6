"""One pod on the node: its sandbox, its containers, restarts and their ends."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.standin import cgroups, mounts, oci, pipes
from tests.cluster.standin.attachment import Attachment
from tests.cluster.standin.container_log import ContainerLog
from tests.cluster.standin.images import Image, ImageStore
from tests.cluster.standin.node_parts import NodeParts
from tests.cluster.standin.pod_network import PodNetwork
from tests.cluster.standin.pod_status import (
    ContainerRecord,
    could_not_start,
    evicted,
    pod_status,
    run_container_error,
    terminated,
)
from tests.cluster.standin.pods import timestamp
from tests.cluster.standin.run_directory import RunDirectory
from tests.cluster.standin.runc import Child, Runc, RuncError, own_capabilities
from tests.cluster.standin.sandbox import Sandbox, ServiceAccount

Object = dict[str, Any]

FIRST_BACKOFF_SECONDS = 10.0
MAX_BACKOFF_SECONDS = 300.0
RESYNC = 1.2
"""After so much of the first back-off the kubelet looks again, and only then says that it waits."""
LAST_WORDS_SECONDS = 0.2
"""How long it says so at least, before it restarts the container."""
BACKOFF_ANNOTATION = "standin.test/first-backoff-seconds"
"""On a pod: its first back-off, for tests that cannot wait; the longest is twice as long then."""
MAX_TERMINATION_MESSAGE = 4096
PULL_SECONDS = 10.0
"""A pull that has failed is only tried again, and the status only changes, after so long."""
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Node:
    """What all pods of the node use."""

    run: RunDirectory
    images: ImageStore
    runc: Runc
    host_ip: str
    parts: NodeParts


class PodWorker:
    """Runs one pod from its start to its removal."""

    def __init__(self, pod: Object, node: Node, ip: str, report: Callable[[Object], None]) -> None:
        """Takes a scheduled pod.

        Args:
            pod: the pod; its status is kept up to date here.
            node: what the node gives.
            ip: the pod's address.
            report: called with the pod after every change of its status.
        """
        self.pod = copy.deepcopy(pod)
        self._node = node
        self._report = report
        self._ip = pod_ip = node.host_ip if pod["spec"].get("hostNetwork") else ip
        self._directory = node.run.path / "pods" / pod["metadata"]["uid"]
        self.sandbox = Sandbox(self._directory, pod, pod_ip)
        self._environment: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._eviction = ""
        self._disruption: Object = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._shared_pids: str | None = None
        self.logs: dict[str, list[ContainerLog]] = {}
        self.processes: dict[str, Object] = {}
        self.records = {
            container["name"]: ContainerRecord(container["name"], container["image"])
            for container in pod["spec"]["containers"]
        }
        self.ephemeral: dict[str, ContainerRecord] = {}
        self.attachments: dict[str, Attachment] = {}
        self._pids: dict[str, int] = {}

    @property
    def network(self) -> PodNetwork:
        """The pod's network."""
        return PodNetwork(self.sandbox.namespaces.get("network"), self._ip)

    def _publish(self) -> None:
        now = timestamp()
        records = list(self.records.values())
        ephemeral = list(self.ephemeral.values())
        self.pod["status"] = pod_status(
            self.pod, records, ephemeral, self._node.host_ip, self._ip, now
        )
        if self._disruption:
            self.pod["status"]["conditions"].append(self._disruption)
        if self._eviction:
            self.pod["status"] = evicted(self.pod["status"], self._eviction, now)
        self._report(self.pod)

    async def start(self, account: ServiceAccount) -> None:
        """Makes the sandbox and lets the containers start."""
        await self.sandbox.set_up(account)
        self._environment = {
            "KUBERNETES_SERVICE_HOST": account.host,
            "KUBERNETES_SERVICE_PORT": str(account.port),
        }
        self._publish()
        if self.pod["spec"].get("shareProcessNamespace"):
            await self._start_pause()
        loop = asyncio.get_running_loop()
        for container in self.pod["spec"]["containers"]:
            self._tasks.append(loop.create_task(self._keep_running(container)))

    async def _start_pause(self) -> None:
        """Starts the process that is PID 1 of all containers with shareProcessNamespace."""
        image = self._node.images.find("pause:dev")
        assert image is not None
        container_id = secrets.token_hex(32)
        around = self._surroundings(container_id, image)
        config = oci.runtime_config({}, {"name": "pause"}, around)
        null = os.open(os.devnull, os.O_RDWR)
        try:
            child = await self._node.runc.run(container_id, config, null, null, null)
        finally:
            os.close(null)
        self._shared_pids = f"/proc/{child.pid}/ns/pid"
        self._tasks.append(
            asyncio.get_running_loop().create_task(self._keep_pause(container_id, child))
        )

    async def _keep_pause(self, container_id: str, child: Child) -> None:
        await self._stopping.wait()
        await self._node.runc.kill(container_id, signal.SIGKILL)
        await child.wait()
        await self._discard(container_id)

    def record(self, name: str) -> ContainerRecord:
        """Returns what is known of a container, ephemeral ones included."""
        return self.records[name] if name in self.records else self.ephemeral[name]

    def add_ephemeral(self, pod: Object) -> None:
        """Starts the ephemeral containers of a pod that are new.

        Args:
            pod: as it is stored now.
        """
        self.pod["spec"]["ephemeralContainers"] = copy.deepcopy(pod["spec"]["ephemeralContainers"])
        self.pod["metadata"]["generation"] = pod["metadata"]["generation"]
        for container in self.pod["spec"]["ephemeralContainers"]:
            name = container["name"]
            if name not in self.ephemeral:
                self.ephemeral[name] = ContainerRecord(name, container["image"])
                task = self._run_ephemeral(self.ephemeral[name], container)
                self._tasks.append(asyncio.get_running_loop().create_task(task))
        self._publish()

    async def _run_ephemeral(self, record: ContainerRecord, container: Object) -> None:
        """Runs an ephemeral container to its end; it never runs again."""
        state = await self._run_once(record, container)
        if state is None:
            return
        if could_not_start(state) and self.pod["spec"]["restartPolicy"] != "Never":
            record.last_state, state = state, run_container_error(state)
        record.state = state
        self._publish()

    def _surroundings(
        self, container_id: str, image: Image, container: Object | None = None
    ) -> oci.Surroundings:
        """Mounts a root file system for a container and returns all it gets.

        Raises:
            ValueError: the container whose PID namespace it is to join does not run.
        """
        target = (container or {}).get("targetContainerName")
        if target and target not in self._pids:
            raise ValueError(f"container {target!r} to target is not running")
        directory = self._directory / container_id
        mounts.overlay(directory / "rootfs", list(image.layers), directory / "scratch")
        namespaces = dict(self.sandbox.namespaces)
        if self.pod["spec"].get("hostPID"):
            namespaces["pid"] = ""
        elif self._shared_pids is not None:
            namespaces["pid"] = self._shared_pids
        elif target:
            namespaces["pid"] = f"/proc/{self._pids[target]}/ns/pid"
        return oci.Surroundings(
            rootfs=str(directory / "rootfs"),
            image_command=image.command,
            cgroups_path=cgroups.container_path(self._node.run.name, container_id),
            hostname=self.pod["metadata"]["name"],
            namespaces=namespaces,
            mounts=self._binds(directory, container) if container else {},
            environment=self._environment,
            possible=own_capabilities(),
        )

    def _binds(self, directory: Path, container: Object) -> dict[str, tuple[str, bool]]:
        message = directory / "termination-log"
        message.touch(0o666)
        message.chmod(0o666)
        path = str(container["terminationMessagePath"])
        return {**self.sandbox.binds(container), path: (str(message), False)}

    async def _discard(self, container_id: str) -> None:
        # As containerd's shim: with a PID namespace of others its processes outlive the first.
        for pid in cgroups.pids(cgroups.container_path(self._node.run.name, container_id)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        await self._node.runc.delete(container_id)
        mounts.unmount(self._directory / container_id / "rootfs")
        shutil.rmtree(self._directory / container_id, ignore_errors=True)

    async def _keep_running(self, container: Object) -> None:
        """Runs a container again and again, as the restartPolicy says."""
        record = self.records[container["name"]]
        annotations = self.pod["metadata"].get("annotations", {})
        first = backoff = float(annotations.get(BACKOFF_ANNOTATION, FIRST_BACKOFF_SECONDS))
        longest = 2 * first if BACKOFF_ANNOTATION in annotations else MAX_BACKOFF_SECONDS
        while not self._stopping.is_set():
            await self._until_both_parts_are_up()
            state = await self._run_once(record, container)
            if state is None:
                return
            policy = self.pod["spec"]["restartPolicy"]
            failed = state["terminated"]["exitCode"] != 0
            wanted = policy == "Always" or (policy == "OnFailure" and failed)
            record.will_restart = wanted and not self._stopping.is_set()
            record.state = state
            self._publish()
            if not record.will_restart:
                return
            record.last_state = state
            if could_not_start(state):
                record.state = run_container_error(state)
                self._publish()
            if record.restart_count > 0:
                # The first restart comes at once, the others wait, ever longer. As 1.36 shows it:
                # terminated first, CrashLoopBackOff only when it has looked again.
                silent = RESYNC * first
                await self._rest(silent)
                record.state = self._crash_loop(container["name"], backoff)
                self._publish()
                await self._rest(max(backoff - silent, LAST_WORDS_SECONDS))
                backoff = min(2 * backoff, longest)
            record.restart_count += 1

    async def _until_both_parts_are_up(self) -> None:
        waiting = {
            asyncio.ensure_future(self._node.parts.wait_up()),
            asyncio.ensure_future(self._stopping.wait()),
        }
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _no_image(self, record: ContainerRecord, container: Object) -> None:
        """Says that an image is not there; this node can pull none."""
        name = container["image"]
        if container.get("imagePullPolicy") == "Never":
            text = f'Container image "{name}" is not present with pull policy of Never'
            self._wait_for_ever(record, "ErrImageNeverPull", text)
            return
        failed = (
            f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
            f"{name}: not found"
        )
        text = f"rpc error: code = NotFound desc = {failed}"
        self._wait_for_ever(record, "ErrImagePull", text)
        try:
            await asyncio.wait_for(self._stopping.wait(), PULL_SECONDS)
        except TimeoutError:
            back_off = f'Back-off pulling image "{name}": ErrImagePull: {text}'
            self._wait_for_ever(record, "ImagePullBackOff", back_off)

    async def _rest(self, seconds: float) -> None:
        """Waits, unless the pod is to end."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            pass

    def _crash_loop(self, container: str, seconds: float) -> Object:
        metadata = self.pod["metadata"]
        minutes, rest = divmod(int(seconds), 60)
        shown = f"{minutes}m{rest}s" if minutes else f"{rest}s"
        return {
            "waiting": {
                "message": f"back-off {shown} restarting failed container={container} "
                f"pod={metadata['name']}_{metadata['namespace']}({metadata['uid']})",
                "reason": "CrashLoopBackOff",
            }
        }

    def _wait_for_ever(self, record: ContainerRecord, reason: str, message: str) -> None:
        record.state = {"waiting": {"message": message, "reason": reason}}
        self._publish()

    async def _run_once(self, record: ContainerRecord, container: Object) -> Object | None:
        """Runs a container to its end; None when it cannot even be made."""
        image = self._node.images.find(container["image"])
        if image is None:
            await self._no_image(record, container)
            return None
        security = oci.effective_security(self.pod["spec"], container)
        if security.get("runAsNonRoot") and not security.get("runAsUser"):
            metadata = self.pod["metadata"]
            self._wait_for_ever(
                record,
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root (pod: "
                f'"{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})", '
                f"container: {container['name']})",
            )
            return None
        container_id = secrets.token_hex(32)
        try:
            around = self._surroundings(container_id, image, container)
            config = oci.runtime_config(self.pod["spec"], container, around)
        except ValueError as error:
            self._wait_for_ever(record, "CreateContainerError", str(error))
            return None
        record.image, record.image_id = image.reference, image.digest
        record.container_id = container_id
        started = timestamp()
        try:
            child = await self._launch(container, container_id, config)
        except RuncError as error:
            await self._discard(container_id)
            state = terminated(container_id, 128, "StartError", _EPOCH, started)
            state["terminated"]["message"] = (
                "failed to create containerd task: failed to create shim task: OCI runtime "
                f"create failed: {error}: unknown"
            )
            return state
        record.state = {"running": {"startedAt": started}}
        self.processes[container_id] = config["process"]
        runtime_record = self._write_runtime_record(record, around.cgroups_path, started)
        self._pids[record.name] = child.pid
        self._publish()
        exit_code = await child.wait()
        runtime_record.unlink(missing_ok=True)
        if cgroups.oom_kills(around.cgroups_path) > 0:
            self._note_oom_kill(runtime_record.parent, record.name)
        del self._pids[record.name]
        self.attachments[record.name].end(exit_code)
        oom_killed = cgroups.oom_kills(around.cgroups_path) > 0
        del self.processes[container_id]
        message = (self._directory / container_id / "termination-log").read_bytes()
        await self._discard(container_id)
        reason = "OOMKilled" if oom_killed else ("Error" if exit_code else "Completed")
        state = terminated(container_id, exit_code, reason, started, timestamp())
        if message:
            text = message[:MAX_TERMINATION_MESSAGE].decode("utf-8", "replace")
            state["terminated"]["message"] = text
        return state

    def _write_runtime_record(self, record: ContainerRecord, cgroup: str, started: str) -> Path:
        """Writes what a container runtime tells node agents over its socket; returns the file."""
        metadata = self.pod["metadata"]
        path = self._node.run.subdirectory("containerd") / record.container_id
        text = json.dumps(
            {
                "id": record.container_id,
                "namespace": metadata["namespace"],
                "pod": metadata["name"],
                "container": record.name,
                "image": record.image,
                "started": started,
                "cgroup": cgroup.lstrip("/"),
            }
        )
        partial = path.with_name(f".{record.container_id}")
        partial.write_text(text)
        return partial.rename(path)

    def _note_oom_kill(self, directory: Path, container: str) -> None:
        """Writes down for node agents that the kernel has killed a container's first process."""
        metadata = self.pod["metadata"]
        with (directory / ".oom-kills").open("a") as file:
            file.write(f"{metadata['namespace']} {metadata['name']} {container}\n")

    async def _launch(self, container: Object, container_id: str, config: Object) -> Child:
        stdin = os.open(os.devnull, os.O_RDONLY)
        writing: int | None = None
        if container.get("stdin"):
            os.close(stdin)
            writing, stdin = pipes.pipe_to_process()
        attachment = Attachment(writing, bool(container.get("stdinOnce")))
        log = ContainerLog(self._log_path(container_id), attachment.heard)
        (out, their_out), (err, their_err) = pipes.pipe_from_process(), pipes.pipe_from_process()
        try:
            return await self._node.runc.run(container_id, config, stdin, their_out, their_err)
        except RuncError:
            attachment.end(128)
            raise
        finally:
            for fd in (stdin, their_out, their_err):
                os.close(fd)
            log.collect(out, "stdout")
            log.collect(err, "stderr")
            self.attachments[container["name"]] = attachment
            self.logs.setdefault(container["name"], []).append(log)

    def _log_path(self, container_id: str) -> Path:
        return self._node.run.subdirectory("logs") / f"{container_id}.log"

    async def execute(
        self,
        name: str,
        command: list[str],
        streams: tuple[int, int, int],
        console_socket: Path | None = None,
    ) -> Child:
        """Starts a process in a running container.

        Raises:
            RuncError: it did not start.
        """
        container_id = self.record(name).container_id
        process = self.processes.get(container_id)
        if process is None:
            raise RuncError(f"cannot exec in a stopped container: {container_id}")
        wanted = {**process, "args": command, "terminal": console_socket is not None}
        if console_socket is not None:
            wanted["env"] = [*process["env"], "TERM=xterm"]
        return await self._node.runc.execute(container_id, wanted, *streams, console_socket)

    def disrupt(self, condition: Object) -> None:
        """Takes the condition that says why the pod is about to be deleted."""
        self._disruption = condition
        self._publish()

    async def evict(self, message: str) -> None:
        """Ends all containers for want of something on the node; the pod stays, failed."""
        self._eviction = message
        self._publish()
        await self._end_containers(0)

    async def stop(self, grace_seconds: float) -> None:
        """Ends all containers, and the sandbox."""
        await self._end_containers(grace_seconds)
        self.sandbox.tear_down()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _end_containers(self, grace_seconds: float) -> None:
        """Ends all containers: SIGTERM, then SIGKILL when the grace is over."""
        self._stopping.set()
        everyone = [*self.records.values(), *self.ephemeral.values()]
        running = [record for record in everyone if record.running]
        tasks = asyncio.gather(*self._tasks, return_exceptions=True)
        if grace_seconds > 0:
            for record in running:
                await self._node.runc.kill(record.container_id, signal.SIGTERM)
            await asyncio.wait([tasks], timeout=grace_seconds)
        while not tasks.done():
            # Again and again: one may have been on its way up at the first time.
            for record in everyone:
                if record.running:
                    await self._node.runc.kill(record.container_id, signal.SIGKILL)
            await asyncio.wait([tasks], timeout=0.1)
