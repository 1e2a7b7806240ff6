"""A stand-in Parca / Polar Signals agent: /metrics and /debug/pprof/heap of itself.

Routes: parca-agent's main.go; no other path answers.
"""

import os
import time

from server import Agent, Answer, Exposition, heap_profile, process_metrics


class Parca(Agent):
    """The agent."""

    def __init__(self):
        super().__init__()
        self.started = time.time()

    def restarted(self):
        self.started = time.time()

    def answer(self, method, path, query, body):
        if path == "/metrics":
            return Answer(self.exposition())
        if path == "/debug/pprof/heap":
            return Answer(heap_profile(), "application/octet-stream")
        return None

    def exposition(self):
        out = Exposition()
        age = time.time() - self.started
        out.add("parca_agent_num_cpu", "gauge", "Number of CPUs", os.cpu_count())
        out.add(
            "parca_agent_write_requests_total",
            "counter",
            "Total number of write requests.",
            int(age) + 1,
            code="OK",
        )
        out.add(
            "parca_reporter_samples_total",
            "counter",
            "Total number of samples reported.",
            int(age * 19),
            type="oncpu",
        )
        for name in ("agent_errors_perf_event_lost", "agent_errors_trace_event_lost"):
            out.add(name, "counter", "Events that were lost.", 0)
        process_metrics(out, self.started)
        return out.text()


Parca().serve(os.environ.get("LISTEN", "0.0.0.0:7071"))
