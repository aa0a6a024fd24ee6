"""Metrics for Prometheus: on loopback, and as a text file for the node exporter. Codes and numbers, no persons."""

import threading
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server

from agent import __version__

#: Seconds; a verification takes two to thirty.
PHASE_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0)


class Metrics:
    """All metrics of one terminal, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._outcomes = Counter(
            "renzheng_verifications", "Verifications by result and failure code", ["result", "code"],
            registry=self.registry,
        )  # fmt: skip
        self._phases = Histogram(
            "renzheng_phase_seconds", "Time spent in a phase", ["phase"], buckets=PHASE_BUCKETS, registry=self.registry
        )
        self._parts = Gauge("renzheng_part_up", "1 while a part serves", ["part"], registry=self.registry)
        self._ages = Gauge(
            "renzheng_heartbeat_age_seconds", "Time since a loop last made progress", ["loop"], registry=self.registry
        )
        self._restarts = Counter("renzheng_part_restarts", "Parts started anew", ["part"], registry=self.registry)
        self._values = Gauge("renzheng_device", "Measurements of the device", ["what"], registry=self.registry)
        Gauge("renzheng_info", "Version", ["version"], registry=self.registry).labels(__version__).set(1)

    def verification(self, result: str, code: str, phases: Mapping[str, float]) -> None:
        """One verification has ended."""
        self._outcomes.labels(result, code).inc()
        for phase, seconds in phases.items():
            self._phases.labels(phase).observe(seconds)

    def part(self, name: str, *, up: bool) -> None:
        """A part went down or came back."""
        self._parts.labels(name).set(up)

    def restarted(self, name: str) -> None:
        """A part was started anew."""
        self._restarts.labels(name).inc()

    def heartbeats(self, ages: Mapping[str, float]) -> None:
        """How long ago each loop made progress."""
        for name, age in ages.items():
            self._ages.labels(name).set(age)

    def device(self, values: Mapping[str, float]) -> None:
        """Temperature, free disk and the like."""
        for name, value in values.items():
            self._values.labels(name).set(value)

    def write(self, path: Path) -> None:
        """Write the text file for whoever reads it, replaced as a whole; the node exporter passes over its `.new`."""
        new = path.with_name(f"{path.name}.new")
        new.write_bytes(generate_latest(self.registry))
        # The service's files are for itself alone; this one is for the node exporter's user.
        new.chmod(0o644)
        new.replace(path)


class MetricsServer:
    """Serves the metrics on loopback."""

    def __init__(self, metrics: Metrics, port: int) -> None:
        """Listen on 127.0.0.1:`port`.

        Raises:
            OSError: the port is taken.
        """
        self._server, self._thread = start_http_server(port, "127.0.0.1", metrics.registry)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop listening."""
        # shutdown() waits for the serving thread; from the loop that would be too long.
        threading.Thread(target=self._server.shutdown, daemon=True).start()
        self._server.server_close()
