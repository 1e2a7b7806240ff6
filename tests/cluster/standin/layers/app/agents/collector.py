"""A stand-in StackRox Collector: its two servers, its heap profiler and its log.

Routes and texts: collector's GetStatus.cpp, ProfilerHandler.cpp, NetworkStatusInspector.cpp,
CollectorStatsExporter.cpp, Diagnostics.h. Environment, beside that of `server`:
ROX_COLLECTOR_INTROSPECTION_ENABLE; LOG_FORMAT (``new``, or ``old`` for releases before March 2023);
STARTUP (``ok``, ``no-sensor``, ``no-driver``, ``not-loaded``: all but the first end with FATAL).
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import ThreadingHTTPServer

from server import Agent, Answer, Exposition, containers, handler

PLAIN = "text/plain"
INTROSPECTION = os.environ.get("ROX_COLLECTOR_INTROSPECTION_ENABLE") == "true"
FATAL = {
    "no-sensor": "Unable to connect to Sensor at 'sensor.stackrox.svc:443'.",
    "no-driver": "Failed to initialize collector kernel components.",
    "not-loaded": "Failed to initialize collector kernel components.",
}
OLD_FATAL = {
    **FATAL,
    "no-sensor": "Unable to connect to Sensor.",
    "no-driver": "No suitable kernel object downloaded for kernel 5.10.109-0-virt",
}


def styled(value):
    """Returns JSON as jsoncpp's toStyledString."""
    return json.dumps(value, indent=3, separators=(",", " : "), sort_keys=True) + "\n"


def fast(value):
    """Returns JSON as jsoncpp's FastWriter."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True) + "\n"


class Collector(Agent):
    """The agent."""

    def __init__(self):
        super().__init__()
        self.heap = "empty"
        self.snapshot = b""
        self.started = time.time()
        self.lock = threading.Lock()

    def restarted(self):
        self.started = time.time()
        self.heap = "empty"

    def events(self):
        return int((time.time() - self.started) * 100)

    def answer(self, method, path, query, body):
        if path == "/ready":
            drops = {"ringbuffer": 2, "threadcache": 1, "total": 3}
            status = {"drops": drops, "events": self.events(), "node": "node1", "preemptions": 0}
            return Answer(styled({"collector": status, "status": "ok"}), "application/json")
        if path == "/metrics":
            return Answer(self.exposition())
        if path == "/profile":
            status = {
                "cpu": "empty",
                "heap": self.heap,
                "supports_cpu": True,
                "supports_heap": True,
            }
            return Answer(styled(status), "application/json")
        if path == "/profile/heap":
            return self.profile(method, body)
        if path == "/loglevel":
            return Answer(styled({"level": "INFO", "status": "Ok"}), "application/json")
        if INTROSPECTION and path.startswith("/state/"):
            return self.state(path, query)
        return None

    def profile(self, method, body):
        with self.lock:
            if method == "GET":
                if not self.snapshot:
                    return Answer(b"", PLAIN)
                return Answer(self.snapshot, "application/octet-stream")
            if body == b"on":
                self.heap = "on"
            elif body == b"off":
                if self.heap == "on":
                    self.heap = "off"
                    self.snapshot = (
                        b"heap profile:      3:    12288 [     3:    12288] @ heapprofile\n"
                        b"     3:    12288 [     3:    12288] @ 0x400000 0x400010\n\n"
                        b"MAPPED_LIBRARIES:\n00400000-00500000 r-xp 00000000 08:01 1 /collector\n"
                    )
            elif body == b"empty":
                self.snapshot, self.heap = b"", "empty"
            else:
                return Answer("invalid post data", PLAIN, 400)
            return Answer(b"", PLAIN)

    def state(self, path, query):
        words = dict(part.partition("=")[::2] for part in query.split("&") if part)
        wanted = words.get("container")
        found = [item["id"][:12] for item in containers()]
        if path == "/state/runtime-config":
            return Answer("{}\n", "application/json")
        if path == "/state/network/endpoint":
            entry = {
                "active": True,
                "endpoint": {"address": "0.0.0.0", "port": 8080},
                "l4proto": "TCP",
            }
        elif path == "/state/network/connection":
            entry = {"active": True, "l4proto": "TCP", "port": 8080, "to": "127.0.0.1"}
        else:
            return None
        known = [name for name in found if wanted in (None, name)]
        return Answer(fast({name: [entry] for name in known}), "application/json")

    def exposition(self):
        out = Exposition()
        events = {
            "kernel": self.events(),
            "drops": 3,
            "threadCacheDrops": 1,
            "ringbufferDrops": 2,
            "preemptions": 0,
            "grpcSendFailures": 0,
            "processSent": 5,
            "processSendFailures": 0,
        }
        for kind, value in events.items():
            out.add("rox_collector_events", "gauge", "Collector events", value, type=kind)
        totals = (
            ("us_total", "us_avg")
            if os.environ.get("LOG_FORMAT") == "old"
            else ("times_us_total", "times_us_avg")
        )
        for timer in ("net_scrape_read", "net_fetch_state", "process_info_wait"):
            out.add("rox_collector_timers", "gauge", "Collector timers", 10, type=timer + "_events")
            out.add(
                "rox_collector_timers",
                "gauge",
                "Collector timers",
                5000,
                type=f"{timer}_{totals[0]}",
            )
            out.add(
                "rox_collector_timers",
                "gauge",
                "Collector timers",
                500,
                type=f"{timer}_{totals[1]}",
            )
        for name in ("net_conn_updates", "net_conn_deltas", "net_conn_inactive"):
            out.add("rox_collector_counters", "gauge", "Collector counters", 7, type=name)
        text = out.text()
        for name, help_text in (
            ("rox_connections_total", "Amount of stored connections over time"),
            ("rox_connections_rate", "Rate of connections over time"),
        ):
            text += f"# HELP {name} {help_text}\n# TYPE {name} summary\n"
            for way in ("in", "out"):
                for peer in ("public", "private"):
                    labels = f'dir="{way}",peer="{peer}"'
                    text += f"{name}_count{{{labels}}} 36\n{name}_sum{{{labels}}} 18\n"
                    for quantile, value in (("0.5", 0), ("0.9", 1), ("0.95", 3)):
                        text += f'{name}{{{labels},quantile="{quantile}"}} {value}\n'
        return text


def log(level, text):
    stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime())
    print(f"[{level:<7} {stamp}] {text}", file=sys.stderr, flush=True)


def start_up(startup, old):
    """Writes the log of a start; ends the process when it fails."""
    ok = startup == "ok"
    connected = startup != "no-sensor"
    log("INFO", "Hostname: 'node1'")
    log("INFO", "Attempting to connect to Sensor")
    log("INFO", "")
    log("INFO", "== Collector Startup Diagnostics: ==")
    if old:
        available = startup in ("ok", "not-loaded")
        log("INFO", f" Connected to Sensor? {'true' if connected else 'false'}")
        log("INFO", f" Kernel driver available? {'true' if available else 'false'}")
        log("INFO", f" Driver loaded into kernel? {'true' if ok else 'false'}")
    else:
        log("INFO", f" Connected to Sensor?       {'true' if connected else 'false'}")
        log("INFO", " Kernel driver candidates:")
        if connected:
            word = "unavailable" if startup == "no-driver" else "available"
            log("INFO", f"   core_bpf ({word})")
        if ok:
            log("INFO", " Driver loaded into kernel: core_bpf")
    log("INFO", "====================================")
    log("INFO", "")
    if not ok:
        text = (OLD_FATAL if old else FATAL)[startup]
        log("FATAL", text)
        with open("/dev/termination-log", "w") as file:
            file.write(text)
        sys.exit(1)


def main():
    start_up(os.environ.get("STARTUP", "ok"), os.environ.get("LOG_FORMAT") == "old")
    agent = Collector()
    for port in (8080, 9090):
        server = ThreadingHTTPServer(("0.0.0.0", port), handler(agent))
        threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    print("ready on 8080 and 9090", flush=True)
    while True:
        signal.pause()


main()
