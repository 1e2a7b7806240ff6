"""A stand-in coroot-node-agent: the containers of the node, from their real cgroups.

Metric names and rules: coroot-node-agent's metrics/metrics.go and containers/container.go.
Environment: MIN_AGE_SECONDS (default 30), beside that of `server`.
"""

import os
import platform
import re
import time

from server import Agent, Answer, Exposition, containers, heap_profile, oom_kills, process_metrics

HOST = "/host/sys/fs/cgroup"
UNLIMITED = 1 << 62
CRONJOB = re.compile(r"(.+)-(\d{8})-[a-z0-9]{5}")
GC_SECONDS = 600.0


def read(*parts):
    try:
        with open(os.path.join(HOST, *parts)) as file:
            return file.read()
    except OSError:
        return ""


def table(text):
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].lstrip("-").isdigit()}


def container_id(item):
    cronjob = CRONJOB.fullmatch(item["pod"])
    if cronjob and abs(int(cronjob[2]) * 60 - time.time()) < 7 * 86400:
        return f"/k8s-cronjob/{item['namespace']}/{cronjob[1]}/{item['container']}"
    return f"/k8s/{item['namespace']}/{item['pod']}/{item['container']}"


def resources(cgroup):
    """The values of one cgroup, by metric; None for what is not exported."""
    values = {}
    if os.path.exists(os.path.join(HOST, "cgroup.controllers")):
        stat = table(read(cgroup, "memory.stat"))
        limit = read(cgroup, "memory.max").strip()
        values["rss"] = stat.get("anon", 0) + stat.get("file_mapped", 0)
        values["cache"] = stat.get("file", 0)
        values["limit"] = int(limit) if limit.isdigit() else None
        values["oom_kills"] = table(read(cgroup, "memory.events")).get("oom_kill", 0)
        cpu = table(read(cgroup, "cpu.stat"))
        values["cpu"] = cpu.get("usage_usec", 0) / 1e6
        values["throttled"] = cpu.get("throttled_usec", 0) / 1e6
        for kind, total in re.findall(
            r"(some|full) .* total=(\d+)", read(cgroup, "memory.pressure")
        ):
            values["pressure_" + kind] = int(total) / 1e6
        quota = read(cgroup, "cpu.max").split()
        values["cpu_limit"] = (
            int(quota[0]) / int(quota[1]) if quota and quota[0].isdigit() else None
        )
        return values if stat else None
    stat = table(read("memory", cgroup, "memory.stat"))
    limit = int(read("memory", cgroup, "memory.limit_in_bytes") or UNLIMITED)
    values["rss"] = stat.get("total_rss", 0) + stat.get("total_mapped_file", 0)
    values["cache"] = stat.get("total_cache", 0)
    values["limit"] = limit if limit < UNLIMITED else None
    values["oom_kills"] = table(read("memory", cgroup, "memory.oom_control")).get("oom_kill", 0)
    values["cpu"] = int(read("cpuacct", cgroup, "cpuacct.usage") or 0) / 1e9
    values["throttled"] = table(read("cpu", cgroup, "cpu.stat")).get("throttled_time", 0) / 1e9
    quota = int(read("cpu", cgroup, "cpu.cfs_quota_us") or -1)
    period = int(read("cpu", cgroup, "cpu.cfs_period_us") or 1)
    values["cpu_limit"] = quota / period if quota > 0 else None
    return values if stat else None


def pids(cgroup):
    for parts in ((cgroup,), ("memory", cgroup)):
        text = read(*parts, "cgroup.procs")
        if text:
            return text.split()
    return []


def network(cgroup):
    """Connections of the pod, from /proc/PID/net of its first process."""
    for pid in pids(cgroup)[:1]:
        try:
            with open(f"/proc/{pid}/net/snmp") as file:
                rows = [line.split() for line in file if line.startswith("Tcp:")]
            with open(f"/proc/{pid}/net/tcp") as file:
                established = sum(line.split()[3] == "01" for line in file.readlines()[1:])
            with open(f"/proc/{pid}/net/netstat") as file:
                octets = [line.split() for line in file if line.startswith("IpExt:")]
        except OSError:
            continue
        tcp = dict(zip(rows[0], rows[1], strict=False))
        ip = dict(zip(octets[0], octets[1], strict=False))
        return {
            "connects": int(tcp["ActiveOpens"]),
            "retransmits": int(tcp["RetransSegs"]),
            "active": established,
            "sent": int(ip["OutOctets"]),
            "received": int(ip["InOctets"]),
        }
    return None


class Coroot(Agent):
    """The agent."""

    def __init__(self):
        super().__init__()
        self.started = time.time()
        self.min_age = float(os.environ.get("MIN_AGE_SECONDS", "30"))
        self.seen = {}
        self.offsets = {}

    def restarted(self):
        self.started = time.time()
        for key, values in self.seen.items():
            self.offsets[key] = dict(values["last"])

    def answer(self, method, path, query, body):
        if path == "/metrics":
            return Answer(self.exposition())
        if path == "/debug/pprof/heap":
            return Answer(heap_profile(), "application/octet-stream")
        return None

    def exposition(self):
        out = Exposition()
        machine = {"machine_id": "a" * 32, "system_uuid": "b" * 32}
        now = time.time()
        for item in containers():
            key = container_id(item)
            entry = self.seen.setdefault(key, {"first": now, "last": {}, "restarts": 0})
            if entry.get("id") not in (None, item["id"]):
                entry["restarts"] += 1
            entry["id"], entry["item"], entry["at"] = item["id"], item, now
            values = resources(item["cgroup"])
            if values is not None:
                net = network(item["cgroup"]) or {}
                entry["last"] = {**values, **net}
        for key, entry in list(self.seen.items()):
            # Heard from the kernel when the process dies, though its cgroup may be gone by now.
            killed = oom_kills(entry["item"])
            entry["last"]["oom_kills"] = max(entry["last"].get("oom_kills", 0), killed)
            if now - entry["at"] > GC_SECONDS:
                del self.seen[key]
            elif now - entry["first"] >= self.min_age:
                self.container(out, key, entry, machine)
        self.node(out, machine, now)
        process_metrics(out, self.started)
        return out.text()

    def container(self, out, key, entry, machine):
        item, values, offset = entry["item"], entry["last"], self.offsets.get(key, {})
        labels = {"container_id": key, "app_id": "", **machine}
        prefix = "container_resources_"

        def counter(name, text, value, **more):
            out.add(name, "counter", text, value, **labels, **more)

        def gauge(name, text, value, **more):
            out.add(name, "gauge", text, value, **labels, **more)

        def since(name):
            return None if name not in values else values[name] - offset.get(name, 0)

        gauge(
            "container_info",
            "Meta information about the container",
            1,
            image=item["image"],
            systemd_triggered_by="",
            systemd_type="",
        )
        counter(
            "container_restarts_total",
            "Number of times the container was restarted",
            entry["restarts"],
        )
        gauge(
            prefix + "memory_rss_bytes",
            "Amount of physical memory used by the container (doesn't include page cache)",
            values.get("rss"),
        )
        gauge(
            prefix + "memory_cache_bytes",
            "Amount of page cache memory allocated by the container",
            values.get("cache"),
        )
        gauge(prefix + "memory_limit_bytes", "Memory limit of the container", values.get("limit"))
        gauge(prefix + "cpu_limit_cores", "CPU limit of the container", values.get("cpu_limit"))
        counter(
            prefix + "cpu_usage_seconds_total",
            "Total CPU time consumed by the container",
            since("cpu"),
        )
        counter(
            prefix + "cpu_throttled_seconds_total",
            "Total time duration the container has been throttled",
            since("throttled"),
        )
        counter(
            "container_oom_kills_total",
            "Total number of times the container was terminated by the OOM killer",
            values.get("oom_kills") or None,
        )
        for kind in ("some", "full"):
            counter(
                prefix + "memory_pressure_waiting_seconds_total",
                "Total time in seconds that the container were delayed due to memory pressure",
                since("pressure_" + kind),
                kind=kind,
            )
        there = {"destination": "127.0.0.1:8080", "actual_destination": "127.0.0.1:8080"}
        counter(
            "container_net_tcp_successful_connects_total",
            "Total number of successful TCP connects",
            since("connects"),
            **there,
        )
        counter(
            "container_net_tcp_retransmits_total",
            "Total number of retransmitted TCP segments",
            since("retransmits"),
            **there,
        )
        counter(
            "container_net_tcp_bytes_sent_total",
            "Total number of bytes sent to the peer",
            since("sent"),
            **there,
        )
        counter(
            "container_net_tcp_bytes_received_total",
            "Total number of bytes received from the peer",
            since("received"),
            **there,
        )
        gauge(
            "container_net_tcp_active_connections",
            "Number of active outbound connections used by the container",
            values.get("active"),
            **there,
        )
        gauge(
            "container_application_type",
            "Type of the application running in the container",
            1,
            application_type="python",
        )

    def node(self, out, machine, now):
        out.add(
            "node_info",
            "gauge",
            "Meta information about the node",
            1,
            hostname="node1",
            kernel_version=platform.release(),
            **machine,
        )
        out.add(
            "node_cloud_info",
            "gauge",
            "Meta information about the cloud instance",
            1,
            provider="aws",
            account_id="",
            instance_id="i-0123",
            instance_type="m5.large",
            instance_life_cycle="on-demand",
            region="eu-central-1",
            availability_zone="eu-central-1a",
            availability_zone_id="euc1-az2",
            local_ipv4="10.0.0.1",
            public_ipv4="",
            **machine,
        )
        out.add(
            "node_agent_info",
            "gauge",
            "Meta information about the agent",
            1,
            version="1.23.4",
            **machine,
        )
        with open("/proc/uptime") as file:
            out.add(
                "node_uptime_seconds",
                "gauge",
                "Uptime of the node in seconds",
                float(file.read().split()[0]),
                **machine,
            )
        with open("/proc/meminfo") as file:
            rows = (line.split() for line in file)
            memory = {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}
        for name, source in (
            ("total", "MemTotal"),
            ("free", "MemFree"),
            ("available", "MemAvailable"),
            ("cached", "Cached"),
        ):
            out.add(
                f"node_resources_memory_{name}_bytes",
                "gauge",
                f"The {name} amount of memory",
                memory.get(source, 0),
                **machine,
            )


Coroot().serve(os.environ.get("LISTEN", "0.0.0.0:80"))
