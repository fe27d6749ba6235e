"""Workers over one database, to be killed, frozen and stopped, and what their executions must look like afterwards."""

from __future__ import annotations

import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from tests.acceptance.bad_processes import Program
from tests.acceptance.flows import CALL_USD, Flows, Json, Oracle, flows_in


class Worker(Program):
    """`steelyard worker`."""

    def _worded(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "gateway", "worker", *arguments]

    @property
    def name(self) -> str:
        """As the provider knows it."""
        return self.folder.name

    @property
    def is_ready(self) -> bool:
        """Whether it runs what is there."""
        assert self.process is not None
        assert self.process.poll() is None, self.said.read_text()
        return bool(self.told("running executions"))

    def freeze(self) -> None:
        """As a suspended machine: it lives, and does nothing; not amid a write, which would lock SQLite to all."""
        self._signalled(signal.SIGSTOP)
        while self._writes():
            self._signalled(signal.SIGCONT)
            time.sleep(0.02)
            self._signalled(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signalled(signal.SIGCONT)

    def _writes(self) -> bool:
        if not self._environ["DATABASE_URL"].startswith("sqlite"):
            return False
        path = Path(self._environ["DATABASE_URL"].partition(":///")[2])
        return any(map(_locked, [path, path.with_name(path.stem + "-workflows" + path.suffix)]))

    def _signalled(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


def _locked(file: Path) -> bool:
    with closing(sqlite3.connect(file, timeout=1.0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


class Fleet:
    """A gateway that runs no executions, and workers that do."""

    def __init__(self, folder: Path, flows: Flows, database: str, lease: float) -> None:
        self.flows = flows
        self._folder, self._database, self._lease = folder, database, lease
        self._numbers = count(1)
        self.workers: list[Worker] = []

    def begin_worker(self, **environ: str) -> Worker:
        """One more, of which nobody knows yet when it will be ready."""
        name = f"worker{next(self._numbers)}"
        environ = {"DATABASE_URL": self._database, "WORKER_LEASE_SECONDS": str(self._lease), **environ}
        worker = Worker(self._folder / name, self.flows.oracle.configuration_of(name), **environ)
        self.workers.append(worker)
        worker.begin()
        return worker

    def worker(self, **environ: str) -> Worker:
        """One more, ready."""
        worker = self.begin_worker(**environ)
        self.flows.eventually(lambda: worker.is_ready)
        return worker

    def has_asked(self, worker: Worker) -> bool:
        """Whether the provider has been asked anything by this worker."""
        return any(one.asker == worker.name for one in self.flows.oracle.calls)

    def asked_by(self, worker: Worker) -> list[str]:
        """What the provider is being asked by this worker."""
        return [one.question for one in self.flows.oracle.calls if one.asker == worker.name and not one.answered]


@contextmanager
def a_fleet(folder: Path, oracle: Oracle, database: str, *, lease: float, **environ: str) -> Generator[Fleet]:
    """Without workers yet. A process that is silent for `lease` seconds is dead. `environ` is the gateway's."""
    environ = {"DATABASE_URL": database, "STEELYARD_WORKFLOWS_RUN": "false", **environ}
    with flows_in(folder / "serving", oracle, **environ) as flows:
        fleet = Fleet(folder, flows, database, lease)
        try:
            yield fleet
        finally:
            for worker in fleet.workers:
                worker.kill()


class History:
    """The events of one execution, read as they must be: each node succeeds once, and nothing follows its success.

    `cut_off` counts for each node how often it was in flight when its execution was taken over by another process.
    """

    def __init__(self, events: Sequence[Json]) -> None:
        self.cut_off: Counter[str] = Counter()
        self.succeeded: list[str] = []
        self.begun = 0
        self._running: set[str] = set()
        assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
        for one in events:
            getattr(self, "_" + one["type"].replace(".", "_"))(one["node_id"])
        assert not self._running
        assert events[-1]["type"] == "execution.completed"

    def _execution_submitted(self, _node: str) -> None:
        assert not self.begun

    def _execution_started(self, _node: str) -> None:
        self.begun += 1
        self.cut_off.update(self._running)
        self._running.clear()

    def _step_started(self, node: str) -> None:
        assert node not in self.succeeded
        assert node not in self._running
        self._running.add(node)

    def _step_succeeded(self, node: str) -> None:
        self._running.remove(node)
        self.succeeded.append(node)

    def _execution_completed(self, _node: str) -> None:
        assert not self._running


def has_paid_once(flows: Flows, execution_id: str, nodes: Sequence[str]) -> History:
    """Hold that it is completed, that each node has succeeded once by memo and events, and that its sums add up."""
    done = flows.get(execution_id)
    assert done["status"] == "completed", done["error"]
    history = History(flows.events(execution_id))
    assert sorted(history.succeeded) == sorted(nodes)
    steps = flows.steps(execution_id)
    assert sorted((one["node_id"], one["status"]) for one in steps) == sorted((node, "succeeded") for node in nodes)
    assert [len(one["request_ids"]) for one in steps] == [1] * len(nodes)
    for name in ("cost_usd", "input_tokens", "output_tokens"):
        assert abs(done[name] - sum(one[name] for one in steps)) < 1e-9
    assert abs(done["cost_usd"] - CALL_USD * len(nodes)) < 1e-9
    assert (done["completed_nodes"], done["total_nodes"]) == (len(nodes), len(nodes))
    return history
