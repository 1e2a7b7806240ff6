"""What the containers of one pod share: namespaces, /dev/shm, name files and volumes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.standin import mounts
from tests.cluster.standin.images import BUSYBOX

SERVICE_ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
RUNTIME_PATH = Path("/run/containerd")
_HOSTS = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
{ip}\t{name}
"""


@dataclass(frozen=True)
class ServiceAccount:
    """What a pod needs to ask the API server."""

    token: str
    authority_pem: str
    host: str
    port: int


class Sandbox:
    """The shared part of one pod. Its network has a loopback, which also has the pod's address."""

    def __init__(self, directory: Path, pod: dict[str, Any], ip: str) -> None:
        """Takes a directory on a tmpfs that is the sandbox's own."""
        self.directory = directory
        self._spec: dict[str, Any] = pod["spec"]
        self._name: str = pod["metadata"]["name"]
        self._namespace: str = pod["metadata"]["namespace"]
        self.ip = ip
        self.namespaces: dict[str, str] = {}

    async def set_up(self, account: ServiceAccount) -> None:
        """Makes everything.

        Raises:
            RuntimeError: the namespaces could not be made.
        """
        self.directory.mkdir(parents=True)
        mounts.shared_memory(self.directory / "shm")
        self._write("hostname", f"{self._name}\n")
        self._write("hosts", _HOSTS.format(ip=self.ip, name=self._name))
        self._write("resolv.conf", f"search {self._namespace}.svc.cluster.local\n")
        secrets = self.directory / "serviceaccount"
        secrets.mkdir()
        (secrets / "token").write_text(account.token)
        (secrets / "ca.crt").write_text(account.authority_pem)
        (secrets / "namespace").write_text(self._namespace)
        kinds = ["uts", "ipc"] if self._spec.get("hostNetwork") else ["net", "uts", "ipc"]
        for kind in kinds:
            self._write(kind, "")
        script = f"hostname '{self._name}'"
        if "net" in kinds:
            script += f" && ip link set lo up && ip addr add {self.ip}/32 dev lo"
        process = await asyncio.create_subprocess_exec(
            "unshare",
            *(f"--{kind}={self.directory / kind}" for kind in kinds),
            str(BUSYBOX),
            "sh",
            "-c",
            script,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"sandbox of {self._name}: {output.decode().strip()}")
        oci_names = {"net": "network", "uts": "uts", "ipc": "ipc"}
        self.namespaces = {oci_names[kind]: str(self.directory / kind) for kind in kinds}

    def _write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def binds(self, container: dict[str, Any]) -> dict[str, tuple[str, bool]]:
        """Returns what is bound into a container: target to (source, read-only).

        Raises:
            ValueError: a volume is of a kind the stand-in has not.
        """
        targets = {
            "/dev/shm": (str(self.directory / "shm"), False),
            **{
                f"/etc/{name}": (str(self.directory / name), False)
                for name in ("hostname", "hosts", "resolv.conf")
            },
        }
        volumes = {volume["name"]: volume for volume in self._spec.get("volumes", [])}
        source: Path
        for mount in container.get("volumeMounts", []):
            source = self._volume(volumes[mount["name"]])
            if "subPath" in mount:
                source /= str(mount["subPath"])
            targets[mount["mountPath"]] = (str(source), bool(mount.get("readOnly")))
        return targets

    def _volume(self, volume: dict[str, Any]) -> Path:
        if "hostPath" in volume:
            path = Path(volume["hostPath"]["path"])
            # The stand-in's runtime has its records in the directory of the run.
            return self.directory.parents[1] / "containerd" if path == RUNTIME_PATH else path
        if "projected" in volume:
            return self.directory / "serviceaccount"
        if "emptyDir" in volume:
            path = self.directory / "volumes" / str(volume["name"])
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)
            return path
        raise ValueError(f"volume {volume['name']}: only emptyDir, hostPath and projected exist")

    def tear_down(self) -> None:
        """Takes the mounts away; the files go with the run's tmpfs."""
        for name in ("shm", "net", "uts", "ipc"):
            mounts.unmount(self.directory / name)
