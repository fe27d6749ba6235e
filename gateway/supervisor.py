"""Several worker processes as one program: started, watched, replaced, renewed and stopped together.

    starting ─ready─► serving ─SIGTERM─► draining ─► ended
        │ ended          │ ended: log, pause, start another in its place
        └ at first: stop everything · amid a renewal: keep the old one · else as a death

Law: a worker is never asked to leave before the one in its place has said that it is ready. SIGHUP renews them one
after another with a new job; when there is none (the new configuration is bad), or its first worker fails to start, the
old ones and the old job stay. A worker that dies is replaced at once; one that keeps dying young, after pauses that
double. SIGTERM and SIGINT drain all; at a second SIGINT they are killed.

A worker is told to leave by SIGTERM. Through a link, whose end it takes for the supervisor's death, it says that it is
ready, and from then on it may wish for a renewal: one at a time, its own slot last, so that it is there to hear what
became of that. Workers are fresh interpreters: a renewed one runs the code that is installed now, and nothing of
a parent's state can be half copied into it. The supervisor itself has no thread and no event loop: it sleeps until a
process ends, a link speaks, a signal comes or a deadline passes.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import NamedTuple, Protocol, cast

_log = logging.getLogger("steelyard.supervisor")
_SPAWN = get_context("spawn")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Seconds. A worker that served for less died young, however long its start took. Doubled: a fault that strikes every
#: half a minute is met with pauses too; halved: one that strikes after ten seconds of warming up is not.
_YOUNG = 15.0
#: Seconds between deaths of the young: the first pause, which comes before the second replacement, and the longest.
#: Doubled: a fault that has passed is noticed later; halved: starting takes more of the machine from those who serve.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
#: Seconds for a new worker to become ready when others are renewed. Doubled: a hanging start holds up the next SIGHUP
#: for longer; halved: a machine under load may not start one in time.
_READY_WITHIN = 60.0
#: Seconds beyond the grace of its requests for a worker to write what is in memory: the log's ten, and a few.
_MARGIN = 15.0

#: What became of a wish: the first word of the answer, before what the new job's maker tells with it. `UNSTARTED` goes
#: on with how many workers have the new job, and of how many.
RENEWED, REFUSED, UNSTARTED, UNDER_WAY, LEAVING = b"renewed", b"refused", b"unstarted", b"under-way", b"leaving"


class Job(Protocol):
    """What a worker does, once it has been sent to its process, until SIGTERM."""

    def __call__(self, link: Connection, slot: int) -> None:
        """Work; `link` ends when the supervisor is gone.

        It takes one message when this worker is ready, and then wishes for a renewal, each of which is answered.
        `slot` numbers the workers from 0; one that is to take another's place has the same.
        """
        ...


class Next(NamedTuple):
    """The job of the workers to come, None when there is none; and what to tell whoever wished for it."""

    job: Job | None
    told: bytes = b""


class _Worker:
    """A process, and what is known of it."""

    __slots__ = ("draining", "kill_at", "link", "mute", "process", "served_from", "slot")

    def __init__(self, slot: int, process: SpawnProcess, link: Connection) -> None:
        self.slot, self.process, self.link = slot, process, link
        self.draining = self.mute = False
        self.served_from: float | None = None
        self.kill_at: float | None = None

    @property
    def ready(self) -> bool:
        return self.served_from is not None

    @property
    def pid(self) -> int:
        return self.process.pid or 0


class Terminal:
    """Whether a SIGHUP means that the terminal was closed, which is a farewell and not a wish for new workers."""

    def __init__(self) -> None:
        """Look now, before any handler is set: `nohup` is a word to be kept."""
        self._had_one = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _has_terminal()

    @property
    def gone(self) -> bool:
        """There was one, and there is none any more."""
        return self._had_one and not _has_terminal()


class Supervisor:
    """Keeps `count` workers at work."""

    def __init__(
        self,
        count: int,
        job: Job,
        *,
        renewed: Callable[[bytes], Next],
        gone: Callable[[int], None],
        leaving: Callable[[], None],
        grace: float,
    ) -> None:
        """Start nothing before `run`.

        Args:
            count: how many.
            job: what they do.
            renewed: what the workers that are asked for do; hears the wish, which is empty at a SIGHUP.
            gone: told the pid of every worker that has ended.
            leaving: called once, when no worker will be started any more.
            grace: seconds a worker's requests may take to finish.
        """
        self._count = count
        self._job = self._next = job
        self._renewed, self._gone, self._leaving = renewed, gone, leaving
        self._patience = grace + _MARGIN
        self._workers: list[_Worker] = []
        self._due: dict[int, float] = {}
        self._died_young: dict[int, int] = {}
        self._to_renew: deque[int] = deque()
        self._renewing: _Worker | None = None
        #: Who wished for the renewal under way, and what to tell it then.
        self._asker: _Worker | None = None
        self._told = b""
        self._renew_again = self._stopping = self._served = False
        self._signals: deque[int] = deque()
        self._alarm, self._bell = socket.socketpair()
        self._code = 0

    @property
    def job(self) -> Job:
        """The newest that a worker has come up with."""
        return self._job

    def run(self) -> int:
        """Work until told to stop: the exit code."""
        resource_tracker.ensure_running()  # its start would lift the mask under which the first worker is started
        terminal = Terminal()
        with self._listening():
            for slot in range(self._count):
                self._start(slot, self._job)
            while self._workers or not self._stopping:
                self._sleep()
                while self._signals:
                    self._on_signal(self._signals.popleft(), terminal)
                for worker in list(self._workers):
                    self._look_after(worker)
                self._on_time(time.monotonic())
        self._alarm.close()
        self._bell.close()
        return self._code

    # Waiting

    @contextmanager
    def _listening(self) -> Generator[None]:
        """Have signals end the sleep: a handler alone would not, since Python goes on waiting after it."""
        self._bell.setblocking(False)
        self._alarm.setblocking(False)
        bell = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        before = {one: signal.signal(one, lambda number, _frame: self._signals.append(number)) for one in _SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
            signal.set_wakeup_fd(bell)

    def _sleep(self) -> None:
        moments = [*self._due.values(), *(one.kill_at for one in self._workers if one.kill_at is not None)]
        patience = max(0.0, min(moments) - time.monotonic()) if moments else None
        ends = [one.process.sentinel for one in self._workers]
        links = [one.link for one in self._workers if not one.mute]
        if self._alarm in connection.wait([self._alarm, *ends, *links], patience):
            try:
                while self._alarm.recv(4096):
                    pass
            except BlockingIOError:
                return

    def _on_time(self, now: float) -> None:
        for slot in [slot for slot, at in self._due.items() if at <= now]:
            del self._due[slot]
            self._start(slot, self._job)
        for worker in self._workers:
            if worker.kill_at is not None and worker.kill_at <= now:
                worker.kill_at = None
                _log.error("a worker did not come to an end: it is killed", extra={"pid": worker.pid})
                worker.process.kill()

    # Signals

    def _on_signal(self, number: int, terminal: Terminal) -> None:
        if number == signal.SIGHUP and not terminal.gone:
            self._renew()
        elif not self._stopping:
            _log.info("stopping", extra={"signal": signal.Signals(number).name})
            self._stop()
        elif number == signal.SIGINT:
            _log.warning("stopping at once")
            self._code = 1
            for worker in self._workers:
                worker.process.kill()

    def _stop(self) -> None:
        self._stopping, self._renew_again = True, False
        self._due.clear()
        self._to_renew.clear()
        self._leaving()
        self._tell_asker(LEAVING)
        for worker in self._workers:
            self._drain(worker)

    def _renew(self) -> None:
        if self._stopping:
            return
        if self._renewing is not None:
            self._renew_again = True
            return
        self._begin_renewal(None, b"")

    def _wished(self, worker: _Worker, wish: bytes) -> None:
        if worker.draining or self._stopping:
            _tell(worker, LEAVING)
        elif self._renewing is not None:
            _tell(worker, UNDER_WAY)
        else:
            self._begin_renewal(worker, wish)

    def _begin_renewal(self, asker: _Worker | None, wish: bytes) -> None:
        try:
            found = self._renewed(wish)
        except Exception:  # noqa: BLE001 - whatever it is, it must not end those who serve
            _log.exception("the new settings do not start: the old ones stay")
            _tell(asker, UNSTARTED, b"0 %d" % self._count)
            return
        if found.job is None:
            _tell(asker, REFUSED, found.told)
            return
        _log.info("renewing the workers", extra={"workers": self._count})
        self._next, self._asker, self._told = found.job, asker, found.told
        last = -1 if asker is None else asker.slot
        self._to_renew.extend(sorted(range(self._count), key=lambda slot: slot == last))
        self._renew_next()

    def _renew_next(self) -> None:
        if self._to_renew:
            slot = self._to_renew.popleft()
            self._due.pop(slot, None)
            self._renewing = self._start(slot, self._next)
            self._renewing.kill_at = time.monotonic() + _READY_WITHIN
            return
        self._renewing = None
        _log.info("the workers are renewed")
        self._tell_asker(RENEWED, self._told)
        self._signalled_meanwhile()

    def _tell_asker(self, *words: bytes) -> None:
        _tell(self._asker, *words)
        self._asker = None

    def _signalled_meanwhile(self) -> None:
        if self._renew_again:
            self._renew_again = False
            self._renew()

    # Workers

    def _start(self, slot: int, job: Job) -> _Worker:
        ours, theirs = cast("tuple[Connection, Connection]", connection.Pipe())
        process = _SPAWN.Process(target=_work, args=(job, theirs, slot), name=f"steelyard-worker-{slot}")
        # A Ctrl-C is for every process of the terminal: until it has a mind of its own, a worker must not hear it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        worker = _Worker(slot, process, ours)
        self._workers.append(worker)
        return worker

    def _look_after(self, worker: _Worker) -> None:
        if not worker.mute and worker.link.poll():
            try:
                said = worker.link.recv_bytes()
            except (EOFError, OSError):
                worker.mute = True
                if not worker.ready:
                    worker.process.join()  # it has given up the link, and so the ghost
            else:
                self._heard(worker, said)
        if worker.process.exitcode is not None:
            self._on_end(worker, worker.process.exitcode)

    def _heard(self, worker: _Worker, said: bytes) -> None:
        if worker.ready:
            self._wished(worker, said)
        else:
            self._on_ready(worker)

    def _on_ready(self, worker: _Worker) -> None:
        worker.served_from, self._served = time.monotonic(), True
        _log.info("a worker is ready", extra={"pid": worker.pid, "worker": worker.slot})
        if worker is self._renewing and not self._stopping:
            worker.kill_at = None
            self._job = self._next
            for other in self._workers:
                if other.slot == worker.slot and other is not worker and not other.draining:
                    self._drain(other)
            self._renew_next()

    def _drain(self, worker: _Worker) -> None:
        worker.draining = True
        worker.kill_at = time.monotonic() + self._patience
        worker.process.terminate()

    def _on_end(self, worker: _Worker, code: int) -> None:
        self._workers.remove(worker)
        worker.process.join()
        worker.link.close()
        self._gone(worker.pid)
        told = {"pid": worker.pid, "worker": worker.slot, "exit": _exit(code)}
        if worker is self._renewing:
            self._on_renewal_failed(worker, told)
        elif worker.draining or self._stopping:
            _log.info("a worker has ended", extra=told)
        elif code > 0 and not self._served:
            _log.error("a worker cannot start: everything stops", extra=told)
            self._code = 1
            self._stop()
        else:
            pause = self._pause(worker)
            _log.error("a worker died and is replaced", extra={**told, "in_seconds": pause})
            self._due[worker.slot] = time.monotonic() + pause

    def _on_renewal_failed(self, worker: _Worker, told: Mapping[str, object]) -> None:
        self._renewing = None
        if self._stopping:
            return
        _log.error("a new worker did not become ready: the renewal ends, and the others stay", extra=told)
        self._tell_asker(UNSTARTED, b"%d %d" % (self._count - len(self._to_renew) - 1, self._count))
        self._to_renew.clear()
        if not any(one.slot == worker.slot for one in self._workers):
            self._due[worker.slot] = time.monotonic()  # the old one has died meanwhile
        self._signalled_meanwhile()

    def _pause(self, worker: _Worker) -> float:
        if worker.served_from is not None and time.monotonic() - worker.served_from >= _YOUNG:
            self._died_young.pop(worker.slot, None)
            return 0.0
        times = self._died_young[worker.slot] = self._died_young.get(worker.slot, 0) + 1
        return 0.0 if times == 1 else min(_FIRST_PAUSE * 2.0 ** min(times - 2, 16), _LONGEST_PAUSE)


def _work(job: Job, link: Connection, slot: int) -> None:
    """What runs in the worker's process. Ctrl-C and SIGHUP are the supervisor's to hear."""
    ignored = {signal.SIGINT, signal.SIGHUP}
    for one in ignored:
        signal.signal(one, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ignored)
    job(link, slot)


def _tell(worker: _Worker | None, *words: bytes) -> None:
    """Answer a wish, if anybody is there still to hear it."""
    if worker is not None and not worker.mute:
        try:
            worker.link.send_bytes(b" ".join(words))
        except OSError:
            worker.mute = True


def _exit(code: int) -> str:
    """An exit code, or the signal that ended it."""
    return str(code) if code >= 0 else signal.Signals(-code).name


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True
