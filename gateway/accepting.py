"""New connections, shared out evenly among workers that listen on one socket.

    may take one   ⟺   connections of ours <= the fewest of any worker;   else wait a moment, then take one all the same

Left to itself, the first worker that wakes takes every connection that waits: ten connections opened at once went to
one of two workers (measured), and stayed with it for as long as they were kept alive. A socket for each worker
(SO_REUSEPORT) leaves it to a hash, which gives one of two workers seven or more of ten connections in a third of all
cases; and what waits at the socket of a worker that dies or leaves is lost or held up. With one socket nothing waits
for anybody in particular, so whoever lives takes it.

Law: a connection is never refused or left waiting for another worker's sake: at most `_HESITATE`. How many each has is
in a file that all map, one number per slot; nobody locks it, since a number that is a moment old does no harm.
"""

from __future__ import annotations

import asyncio
import mmap
import socket
import struct
from collections.abc import Callable
from pathlib import Path

_COUNT = struct.Struct("I")
#: Of a slot that nobody has taken yet: no reason to wait for its owner.
_EMPTY = 2**32 - 1
#: Seconds that one with more connections leaves a new one to the others. Doubled: it waits that much longer when they
#: are dead or busy; halved: one amid a request of some milliseconds does not come in time for its share.
_HESITATE = 0.005
#: Connections that may wait to be accepted; uvicorn's own default.
_BACKLOG = 2048


def lay_out(path: Path, slots: int) -> None:
    """Make the file for so many workers."""
    path.write_bytes(_COUNT.pack(_EMPTY) * slots)


class Acceptor:
    """Takes connections for one worker."""

    def __init__(
        self,
        listening: socket.socket,
        connected: Callable[[], asyncio.Protocol],
        *,
        counts: Path,
        slot: int,
        has: Callable[[], int],
    ) -> None:
        """Serve what comes to `listening` with protocols that `connected` makes.

        Args:
            listening: the socket that all share, bound.
            connected: called once for each connection.
            counts: the file of `lay_out`.
            slot: this worker's place in it.
            has: how many connections are open.
        """
        self._listening = listening
        self._connected = connected
        self._slot, self._has = slot, has
        with counts.open("r+b") as file:
            self._counts = mmap.mmap(file.fileno(), 0)
        self._slots = len(self._counts) // _COUNT.size
        #: Taken, and not yet among those that `has` counts.
        self._coming = 0
        self._tasks: set[asyncio.Task[object]] = set()
        self._hesitation: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen."""
        self._listening.setblocking(False)
        self._listening.listen(_BACKLOG)
        self._tell(self._mine())
        self._watch()

    def close(self) -> None:
        """Accept no more. What is open stays so. A second call does nothing."""
        if self._counts.closed:
            return
        if self._hesitation is None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
        else:
            self._hesitation.cancel()
        self._counts.close()

    def _watch(self) -> None:
        self._hesitation = None
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._somebody_is_there)

    def _somebody_is_there(self) -> None:
        mine = self._mine()
        self._tell(mine)
        if mine <= min(_COUNT.unpack_from(self._counts, slot * _COUNT.size)[0] for slot in range(self._slots)):
            self._take()
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening.fileno())
        self._hesitation = loop.call_later(_HESITATE, self._take_all_the_same)

    def _take_all_the_same(self) -> None:
        self._watch()
        self._take()

    def _take(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the caller has gone
        except OSError:
            # No descriptor is left, most likely: the others may have some, and so may we in a moment.
            self._pause()
            return
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        task: asyncio.Task[object] = loop.create_task(loop.connect_accepted_socket(self._meet, connection))
        self._tasks.add(task)
        task.add_done_callback(self._come)
        self._coming += 1
        self._tell(self._mine())

    def _meet(self) -> asyncio.Protocol:
        # Called just before `connection_made` is put into the loop: until the task's end it would be counted twice.
        asyncio.get_running_loop().call_soon(self._met)
        return self._connected()

    def _met(self) -> None:
        self._coming -= 1

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening.fileno())
        if self._hesitation is not None:
            self._hesitation.cancel()
        self._hesitation = loop.call_later(_HESITATE, self._watch)

    def _come(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller has gone already: nobody is left to hear of it

    def _mine(self) -> int:
        return self._has() + self._coming

    def _tell(self, count: int) -> None:
        _COUNT.pack_into(self._counts, self._slot * _COUNT.size, count)
