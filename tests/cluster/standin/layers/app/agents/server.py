"""What the stand-in agents share: an HTTP server with faults that can be switched on and off.

Environment: LISTEN (``0.0.0.0:80``), FAULT (a fault from the start). ``POST /standin/fault`` with
the name of a fault in its body switches it on for every path but this one; an empty body ends it:

- ``slow``: the answer begins after 60 s;
- ``broken``: the connection is closed in the middle of the answer;
- ``huge``: 100 MiB of samples;
- ``401``: credentials are wanted;
- ``wrong-type``: a web page;
- ``truncated``: half of the body under a Content-Length of that half;
- ``garbage``: bytes that are no text;
- ``openmetrics``: no fault, but the exposition as OpenMetrics 1.0;
- ``restarted``: counters begin again at 0 (the switch is off again at once).
"""

import gzip
import json
import os
import re
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SLOW_SECONDS = 60.0
HUGE_BYTES = 100 << 20


class Answer:
    """One answer: code, content type, body."""

    def __init__(self, body, content_type=TEXT, code=200):
        self.body = body.encode() if isinstance(body, str) else body
        self.content_type = content_type
        self.code = code


class Agent:
    """A server; ``answer`` is the agent's own. GET and POST both come here."""

    def __init__(self):
        self.fault = os.environ.get("FAULT", "")
        self.stop = threading.Event()

    def answer(self, method, path, query, body):
        """Returns the Answer to a request, None for 404."""
        raise NotImplementedError

    def restarted(self):
        """Begins again, as a new process would."""

    def serve(self, listen):
        """Serves until SIGTERM."""
        host, _, port = listen.rpartition(":")
        servers = [ThreadingHTTPServer((host, int(port)), handler(self))]
        for extra in filter(None, os.environ.get("LISTEN_TOO", "").split(",")):
            host, _, port = extra.rpartition(":")
            servers.append(ThreadingHTTPServer((host, int(port)), handler(self)))
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
        print(f"ready on {listen}", flush=True)
        while True:
            signal.pause()


def handler(agent):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._serve("GET")

        def do_POST(self):
            self._serve("POST")

        def log_message(self, *arguments):
            pass

        def version_string(self):
            return "standin"

        def _serve(self, method):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            path, _, query = self.path.partition("?")
            if path == "/standin/fault":
                agent.fault = body.decode()
                if agent.fault == "restarted":
                    agent.restarted()
                    agent.fault = ""
                self._send(Answer(agent.fault))
                return
            if agent.fault == "slow":
                agent.stop.wait(SLOW_SECONDS)
            if agent.fault == "401":
                self._send(Answer("Unauthorized\n", "text/plain; charset=utf-8", 401))
                return
            if agent.fault == "huge":
                self._send_huge()
                return
            answer = agent.answer(method, path, query, body)
            if answer is None:
                answer = Answer("404 page not found\n", "text/plain; charset=utf-8", 404)
            elif agent.fault == "wrong-type":
                page = "<html><title>Log in</title></html>"
                answer = Answer(page, "text/html; charset=utf-8")
            elif agent.fault == "garbage":
                answer = Answer(bytes(range(256)) * 64, answer.content_type)
            elif agent.fault == "openmetrics" and answer.content_type == TEXT:
                answer = Answer(open_metrics(answer.body.decode()), OPENMETRICS)
            elif agent.fault == "truncated":
                answer = Answer(answer.body[: len(answer.body) // 2], answer.content_type)
            if agent.fault == "broken":
                self._send_half(answer)
            else:
                self._send(answer)

        def _head(self, answer, length):
            self.send_response(answer.code)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(length))
            if answer.code == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="agent"')
            self.end_headers()

        def _send(self, answer):
            self._head(answer, len(answer.body))
            self.wfile.write(answer.body)

        def _send_half(self, answer):
            self._head(answer, len(answer.body) + 1)
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.close_connection = True

        def _send_huge(self):
            self._head(Answer(b""), HUGE_BYTES)
            line = 'container_info{container_id="/k8s/other/pod-%08d/c",image="x"} 1\n'
            chunk = "".join(line % number for number in range(1000)).encode()
            left = HUGE_BYTES
            try:
                while left > 0:
                    self.wfile.write(chunk[:left])
                    left -= len(chunk)
            except OSError:
                self.close_connection = True

    return Handler


class Exposition:
    """Collects samples and writes them as client_golang does: families and series sorted."""

    def __init__(self):
        self._families = {}

    def add(self, name, kind, text, value, /, **labels):
        """Adds a sample; None values are left out, as is what an agent does not export."""
        if value is not None:
            family = self._families.setdefault(name, (kind, text, []))
            family[2].append((labels, value))

    def text(self):
        """Returns the exposition, text format 0.0.4."""
        lines = []
        for name, (kind, text, samples) in sorted(self._families.items()):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            for labels, value in samples:
                inner = ",".join(f'{key}="{escape(labels[key])}"' for key in sorted(labels))
                series = f"{name}{{{inner}}}" if inner else name
                lines.append(f"{series} {number(value)}")
        return "\n".join(lines) + "\n"


def escape(text):
    """Escapes a label value."""
    return str(text).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value):
    """Writes a value as Go's strconv does with 'g': exponents from 1e+06 on for whole numbers."""
    value = float(value)
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    if value.is_integer() and abs(value) >= 1e21:
        return repr(value)
    if value.is_integer():
        digits = str(int(value))
        if len(digits.lstrip("-")) < 7:
            return digits
        mantissa = digits.lstrip("-").rstrip("0")
        sign = "-" if value < 0 else ""
        fraction = f".{mantissa[1:]}" if len(mantissa) > 1 else ""
        return f"{sign}{mantissa[0]}{fraction}e+{len(digits.lstrip('-')) - 1:02d}"
    return repr(value)


def open_metrics(text):
    """Turns text format 0.0.4 into OpenMetrics 1.0."""
    counters = set(re.findall(r"^# TYPE (\w+)_total counter$", text, re.M))
    bare = set(re.findall(r"^# TYPE (\w+) counter$", text, re.M))
    lines = []
    for line in text.splitlines():
        match = re.match(r"# (HELP|TYPE) (\w+)( .*)", line)
        if match:
            name = match[2]
            if name.removesuffix("_total") in counters:
                name = name.removesuffix("_total")
            lines.append(f"# {match[1]} {name}{match[3]}")
            continue
        name = re.match(r"\w+", line)[0]
        if name in bare and not name.endswith("_total"):
            line = line.replace(name, name + "_total", 1)
        lines.append(line)
    return "\n".join([*lines, "# EOF"]) + "\n"


def process_metrics(exposition, started):
    """Adds a few of the families every Go agent has about itself."""
    exposition.add("go_goroutines", "gauge", "Number of goroutines that currently exist.", 42)
    exposition.add(
        "go_memstats_heap_alloc_bytes",
        "gauge",
        "Number of heap bytes allocated and still in use.",
        12345678,
    )
    exposition.add(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        round(started, 2),
    )
    exposition.add(
        "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", 45678912
    )


def heap_profile(samples=3):
    """Returns a heap profile as Go's runtime/pprof writes it: gzip of a pprof protobuf.

    Profile: sample_type 1, sample 2, location 4, string_table 6, period_type 11.
    """

    def varint(value):
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes(out) + bytes((value,))

    def field(number, payload):
        return varint(number << 3 | 2) + varint(len(payload)) + payload

    names = ["", "inuse_objects", "count", "inuse_space", "bytes", "space"]
    kinds = [(1, 2), (3, 4)]
    profile = b"".join(
        field(1, varint(1 << 3) + varint(kind) + varint(2 << 3) + varint(unit))
        for kind, unit in kinds
    )
    for index in range(1, samples + 1):
        values = varint(index) + varint(index * 4096)
        profile += field(2, field(1, varint(index)) + field(2, values))
        profile += field(4, varint(1 << 3) + varint(index) + varint(3 << 3) + varint(0x400000))
    profile += b"".join(field(6, name.encode()) for name in names)
    return gzip.compress(profile)


def containers():
    """Returns the containers of the node: what the runtime would tell over its socket.

    Each is a dict: id, namespace, pod, container, image, started, cgroup.
    """
    directory = "/run/containerd"
    found = []
    for name in sorted(name for name in os.listdir(directory) if not name.startswith(".")):
        try:
            with open(os.path.join(directory, name)) as file:
                found.append(json.load(file))
        except (OSError, ValueError):
            continue  # It is just being written or removed.
    return found


def oom_kills(item):
    """Returns how often the kernel has killed a container for lack of memory."""
    try:
        with open("/run/containerd/.oom-kills") as file:
            lines = file.read().splitlines()
    except OSError:
        return 0
    return lines.count(f"{item['namespace']} {item['pod']} {item['container']}")
