"""Starts the stand-in cluster and keeps it until a signal: ``python -m tests.cluster.standin``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.cluster.standin import mounts, requirements, run_directory, runc
from tests.cluster.standin.audit import AuditLog
from tests.cluster.standin.cluster import OBJECTS, Cluster, manifest
from tests.cluster.standin.kubeconfig import kubeconfig
from tests.cluster.standin.orphans import OrphanReaper
from tests.cluster.standin.pods import admit
from tests.cluster.standin.run_directory import RunDirectory
from tests.cluster.standin.server import Server


def _parse() -> argparse.Namespace:
    known = sorted(path.stem for path in OBJECTS.glob("*pod.json"))
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.standin", description=__doc__)
    parser.add_argument(
        "pods", nargs="*", default=["problempod"], metavar="POD", help=f"of {', '.join(known)}"
    )
    parser.add_argument("--kubeconfig", type=Path, default=Path(".cluster/kubeconfig"))
    parser.add_argument("--port", type=int, default=0, help="port to listen on (any free one)")
    parser.add_argument("--no-pods", action="store_true", help="start with an empty cluster")
    parser.add_argument(
        "--lifeline", action="store_true", help="stop when stdin ends; print JSON when ready"
    )
    parser.add_argument("--clean", action="store_true", help="only remove what crashed runs left")
    options = parser.parse_args()
    for name in options.pods:
        if name not in known:
            parser.error(f"no pod {name}; there are {', '.join(known)}")
    return options


async def _serve(options: argparse.Namespace, run: RunDirectory) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_complain)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if options.lifeline:
        loop.add_reader(sys.stdin.fileno(), _stop_at_eof, sys.stdin.fileno(), stop)
    OrphanReaper()
    cluster = Cluster(run)
    path: Path = options.kubeconfig.absolute()
    audit = AuditLog(path.with_name("audit.jsonl")) if options.lifeline else None
    server = Server(cluster, audit)
    url = await server.start(options.port)
    try:
        for name in [] if options.no_pods else options.pods:
            pod = cluster.store.put("pods", admit(manifest(name), "default"))
            await cluster.kubelet.add(pod)
        await cluster.settled()
        text = kubeconfig(url, cluster.authority.pem, cluster.tokens, cluster.certificates)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        contexts = [*cluster.tokens, *cluster.certificates]
        if options.lifeline:
            ready = {
                "kubeconfig": str(path),
                "server": url,
                "plain": server.plain,
                "run": run.name,
                "pid": os.getpid(),
            }
            print(json.dumps(ready), flush=True)
        else:
            _explain(url, path, contexts)
        await stop.wait()
        path.unlink(missing_ok=True)
    finally:
        await server.stop()
        await cluster.kubelet.stop()


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leaves out what asyncio does to itself when a connection that it closes is reset.

    It then tells the protocol twice that the connection is lost, and there is none the second time.
    """
    twice = "_call_connection_lost" in str(context.get("handle"))
    if not (twice and isinstance(context.get("exception"), AttributeError)):
        loop.default_exception_handler(context)


def _stop_at_eof(fd: int, stop: asyncio.Event) -> None:
    if not os.read(fd, 4096):
        asyncio.get_running_loop().remove_reader(fd)
        stop.set()


def _explain(url: str, path: Path, contexts: list[str]) -> None:
    print(f"The stand-in cluster answers at {url}. Use it with:")
    print(f"  export KUBECONFIG={path}")
    print("  kubectl get pods -o wide")
    print("  kubectl exec problempod -- python3 -V")
    print("  kubectl --context viewer exec problempod -- true    # forbidden")
    print(f"Contexts: {', '.join(contexts)}. Ctrl-C removes everything.", flush=True)


def main() -> int:
    """Runs the command; returns its exit code."""
    options = _parse()
    if problem := requirements.missing():
        print(f"standin: error: {problem}", file=sys.stderr)
        return 3
    if options.clean:
        print("removed:", ", ".join(run_directory.remove_stale()) or "nothing")
        return 0
    mounts.enter_private_namespace()
    runc.become_subreaper()
    run = RunDirectory.create()
    try:
        mounts.tmpfs(run.path)
        asyncio.run(_serve(options, run))
    finally:
        mounts.unmount(run.path)
        run.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
