"""Wakes those who wait for what befalls executions, in whichever process that happens.

    in this process    after each commit that keeps an event
    from others        by a line over PostgreSQL (`store.line`), one connection for the process
    neither            one look for all who wait at how far their executions are

Law: nothing depends on being woken. Where no line is (SQLite, whose other processes are silent; a line that is broken;
a pooler in between that swallows notifications) the looks come every half second; where one is, they are the net below
it, and rare. They cost nothing while nobody waits, and one query however many do.

A line is good as long as a process hears itself on it. By the same calls the others hear that it is there: to a process
that hears of no other nobody says anything.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress

from gateway.records import StoreUnavailable
from gateway.store import line
from gateway.store.engine import Database, Notice
from gateway.store.workflows import events
from gateway.workflows.ears import Ears, Topic, topic

_log = logging.getLogger("steelyard.workflows")
_CHANNEL = "steelyard_executions"
#: Seconds between two looks without a line, and with one. The first doubled, what other processes do is seen so much
#: later; halved, a database without a line is asked twice as often.
LOOK_DEAF, _LOOK_HEARING = 0.5, 15.0
#: Seconds between two calls by which a process hears itself, and is heard; and within which it must.
_CALL_EVERY, _HEARD_WITHIN = 15.0, 5.0
#: Seconds of silence after which another process is not there any more: of three calls none was heard.
_GONE_AFTER = 3 * _CALL_EVERY
#: Seconds between two sayings. Doubled, what comes in a burst comes so much later; halved, a busy process notifies a
#: hundred times a second.
_BREATH = 0.02
#: Seconds before a broken line is opened again: the first time, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
#: Seconds between two looks of a running attempt for wishes, when it is woken by them. Doubled, one whose wake-up was
#: lost is paid for longer; halved, each of hundreds asks twice as often.
_PATIENCE = 5.0
_SIGNS: dict[Topic, str] = {"event": "", "end": ".", "wish": "!"}
_TOPICS: dict[str, Topic] = {".": "end", "!": "wish"}
_CALL = "?"


class Bell:
    """The bell of one process: rings its `ears`."""

    def __init__(self, database: Database, *, rng: random.Random, ears: Ears | None = None) -> None:
        """Rung by whatever this database keeps; of other processes' doing while `run` does."""
        self.ears = ears or Ears()
        self._database = database
        self._rng = rng
        self._me = f"{rng.getrandbits(48):012x}"
        #: What the others are to hear of, by execution the signs of what befell it.
        self._unsaid: dict[str, str] = {}
        self._stir, self._heard_myself, self._look_now = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._broken = False
        #: Until when the looks stay close, on the loop's clock: others may not know yet that this process hears them.
        self._close_until = 0.0
        #: When each other process was heard last, on the loop's clock.
        self._others: dict[str, float] = {}
        self._call_now = False
        #: Whether others are heard as soon as they say something.
        self.hearing = False
        database.committed = self._committed

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_after())
            if self._database.dialect == "postgresql":
                group.create_task(self._listen())

    def _committed(self, notices: Sequence[Notice]) -> None:
        for identity, kind in notices:
            what = topic(kind)
            self.ears.ring(identity, what)
            if self._others:
                known = self._unsaid.get(identity, "")
                self._unsaid[identity] = known + (_SIGNS[what] if _SIGNS[what] not in known else "")
                self._stir.set()

    def patience(self) -> float:
        """Seconds for which whoever has an ear may do without a look of its own."""
        return _PATIENCE if self.hearing else LOOK_DEAF

    # The looks

    async def _look_after(self) -> None:
        known: dict[str, int] = {}
        clock = asyncio.get_running_loop().time
        while True:
            await self.ears.open.wait()
            self._look_now.clear()
            watched = self.ears.watched()
            try:
                found = await events.newest(self._database, watched)
            except StoreUnavailable:
                pass  # what waits for it waits; who asks it is told
            else:
                now = {one: found.get(one, 0) for one in watched}
                self.ears.ring_all(one for one, number in now.items() if known.get(one) != number)
                known = now
            rare = self.hearing and clock() >= self._close_until
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_HEARING if rare else LOOK_DEAF):
                    await self._look_now.wait()

    # The line

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                async with line.opened(self._database, _CHANNEL, self._hear, self._lost) as opened:
                    self._broken = False
                    await self._call(opened)
                    self.hearing, pause = True, _FIRST_PAUSE
                    self._close_until = asyncio.get_running_loop().time() + _HEARD_WITHIN
                    self._look_now.set()
                    await self._speak(opened)
            except StoreUnavailable as exc:
                if self.hearing or pause == _FIRST_PAUSE:
                    _log.warning("events of other processes come late", extra={"error": str(exc)})
            except Exception:  # noqa: BLE001 - a defect in the driver's door must not end what waits
                _log.exception("events of other processes come late")
            self.hearing = False
            self._forget_who_has_gone()
            self._look_now.set()
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
            pause = min(2.0 * pause, _LONGEST_PAUSE)

    async def _speak(self, opened: line.Line) -> None:
        """Say what is to be said, until the line breaks: then it raises `StoreUnavailable`."""
        clock = asyncio.get_running_loop().time
        call_at = clock() + _CALL_EVERY
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(call_at):
                    await self._stir.wait()
            if self._broken:  # what is unsaid is said on the next line
                raise StoreUnavailable("the line is broken: the connection is gone")
            self._stir.clear()
            if self._call_now or clock() >= call_at:
                self._call_now = False
                await self._call(opened)
                call_at = clock() + _CALL_EVERY
                self._forget_who_has_gone()
            for text in self._sayings():
                await opened.say(text)
            await asyncio.sleep(_BREATH)

    async def _call(self, opened: line.Line) -> None:
        """Say that this process is there, and hear it."""
        self._heard_myself.clear()
        await opened.say(f"{self._me} {_CALL}")
        try:
            async with asyncio.timeout(_HEARD_WITHIN):
                await self._heard_myself.wait()
        except TimeoutError:
            raise StoreUnavailable("the line is deaf: what was said was not heard") from None

    def _forget_who_has_gone(self) -> None:
        """And, when that is everybody, what they were to hear: where no line comes about, it would become ever more."""
        now = asyncio.get_running_loop().time()
        self._others = {one: at for one, at in self._others.items() if now < at + _GONE_AFTER}
        if not self._others:
            self._unsaid.clear()

    def _sayings(self) -> list[str]:
        """All that is unsaid, in as many pieces as it takes."""
        words = [identity + signs for identity, signs in self._unsaid.items()]
        self._unsaid.clear()
        found: list[str] = []
        text = self._me
        for word in words:
            if len(text) + len(word) >= line.LONGEST:
                found.append(text)
                text = self._me
            text += f" {word}"
        return [*found, text] if words else found

    def _hear(self, text: str) -> None:
        sender, *words = text.split(" ")
        if sender == self._me:
            self._heard_myself.set()
            return
        if sender not in self._others:
            # New here: it is to know of this process before the next call is due.
            self._call_now = True
            self._stir.set()
        self._others[sender] = asyncio.get_running_loop().time()
        for word in words:
            identity = word.rstrip("".join(_TOPICS))
            self.ears.ring(identity, "event")
            for sign in word[len(identity) :]:
                self.ears.ring(identity, _TOPICS[sign])

    def _lost(self) -> None:
        self._broken = True
        self._stir.set()
