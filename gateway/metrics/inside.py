"""The gateway's own insides: the request log, the database and other services, and its processes."""

from __future__ import annotations

from gateway.metrics.buckets import SECONDS
from gateway.metrics.registry import Registry


class Inside(Registry):
    """See the module."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """See `Registry`."""
        super().__init__(shared_dir=shared_dir)
        self._count_log()
        self._count_services()
        self._about("Workers")
        self.workers = self._gauge("steelyard_workers", "Processes that are up, by the version they run.", "version")
        self.cpu = self._counter("steelyard_cpu_seconds_total", "Seconds of processor time, of all processes.")
        self.memory = self._gauge("steelyard_memory_bytes", "Memory that the processes hold.")
        self.loop_lag = self._histogram(
            "steelyard_event_loop_lag_seconds",
            "By how much the event loop was late, looked at every second in each process.",
            SECONDS,
        )
        self.sink_failures = self._counter(
            "steelyard_sink_failures_total", "Exchanges that a sink failed to take.", "sink"
        )

    def _count_log(self) -> None:
        self._about("Request log")
        self.log_counts = self._counter(
            "steelyard_request_log_rows_total",
            "Rows written, spilled to the disk, replayed from there, and dropped, those of processes that have ended "
            "included.",
            "state",
        )
        self.log_rows = self._gauge(
            "steelyard_log_rows", "Request log rows since start: written, spilled, replayed, dropped.", "state"
        )
        self.log_queue = self._gauge("steelyard_log_queue", "Request log rows waiting in memory.")
        self.log_capacity = self._gauge("steelyard_log_queue_capacity", "Request log rows that memory has room for.")
        self.spill_size = self._gauge("steelyard_log_spill_bytes", "Bytes of rows on the disk.")

    def _count_services(self) -> None:
        self._about("Database and other services")
        self.pool_connections = self._gauge(
            "steelyard_database_pool_connections",
            "Connections of the database pools, of requests and of workflows: in_use or idle.",
            "state",
        )
        self.pool_limit = self._gauge("steelyard_database_pool_limit", "Connections that the database pools may have.")
        self.pool_waiting = self._gauge(
            "steelyard_database_pool_waiting", "Queries that wait for a connection of a database pool."
        )
        self.pool_wait = self._histogram(
            "steelyard_database_pool_wait_seconds",
            "Waits for a connection to the database, making it included: got or failed.",
            SECONDS,
            "outcome",
        )
        self.upstream = self._gauge(
            "steelyard_upstream_connections",
            "Connections to providers in use, and requests that wait for one: in_use or waiting.",
            "state",
        )
        self.up = self._gauge(
            "steelyard_dependency_up",
            "1 while every process reaches it: database, or redis where there is one.",
            "dependency",
            workers="livemin",
        )
