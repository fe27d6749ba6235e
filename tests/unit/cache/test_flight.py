"""The laws of single-flight: one work for many askers, and nobody takes the answer from another."""

from __future__ import annotations

import asyncio

import pytest

from cache import Flights


class Work:
    """A work that goes on when told, and keeps count of what happened to it."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.cleaned = 0
        self.go_on = asyncio.Event()
        self.may_clean = asyncio.Event()
        self.may_clean.set()
        self.failure: Exception | None = None

    async def __call__(self) -> str:
        self.begun += 1
        number = self.begun
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            await self.may_clean.wait()
            self.cleaned += 1
            raise
        if self.failure is not None:
            raise self.failure
        return f"answer {number}"


async def turns(count: int = 5) -> None:
    """Let every task that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def flights() -> Flights[str]:
    return Flights()


@pytest.fixture
def work() -> Work:
    return Work()


def ask(flights: Flights[str], work: Work, key: str = "key") -> asyncio.Task[tuple[str, bool]]:
    return asyncio.create_task(flights.join(key, work))


async def test_many_askers_share_one_work_and_only_the_first_is_told_it_began_it(
    flights: Flights[str], work: Work
) -> None:
    askers = [ask(flights, work) for _ in range(5)]
    await turns()
    assert len(flights) == 1
    work.go_on.set()
    answers = await asyncio.gather(*askers)
    assert answers == [("answer 1", False), *[("answer 1", True)] * 4]
    assert work.begun == 1


async def test_different_questions_do_not_wait_for_each_other(flights: Flights[str], work: Work) -> None:
    slow = ask(flights, work, "slow")
    other = Work()
    other.go_on.set()
    assert await ask(flights, other, "quick") == ("answer 1", False)
    assert not slow.done()
    work.go_on.set()
    await slow


async def test_the_key_is_free_once_the_answer_is_there(flights: Flights[str], work: Work) -> None:
    work.go_on.set()
    assert await flights.join("key", work) == ("answer 1", False)
    assert len(flights) == 0
    assert await flights.join("key", work) == ("answer 2", False)


async def test_the_first_asker_who_hangs_up_does_not_take_the_answer_from_the_others(
    flights: Flights[str], work: Work
) -> None:
    first, second = ask(flights, work), ask(flights, work)
    await turns()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not work.cancelled
    late = ask(flights, work)
    await turns()
    work.go_on.set()
    assert await asyncio.gather(second, late) == [("answer 1", True)] * 2
    assert work.begun == 1


async def test_the_last_who_leaves_cancels_the_work(flights: Flights[str], work: Work) -> None:
    askers = [ask(flights, work) for _ in range(3)]
    await turns()
    for number, asker in enumerate(askers):
        assert work.cancelled == 0, f"cancelled with {3 - number} askers waiting"
        asker.cancel()
        await turns()
    await asyncio.gather(*askers, return_exceptions=True)
    assert (work.cancelled, work.cleaned, len(flights)) == (1, 1, 0)


async def test_all_leaving_at_once_cancel_the_work_once(flights: Flights[str], work: Work) -> None:
    askers = [ask(flights, work) for _ in range(3)]
    await turns()
    for asker in askers:
        asker.cancel()
    await asyncio.gather(*askers, return_exceptions=True)
    assert (work.begun, work.cancelled, work.cleaned) == (1, 1, 1)


async def test_the_last_leaver_waits_until_the_work_has_put_its_books_in_order(
    flights: Flights[str], work: Work
) -> None:
    work.may_clean.clear()
    asker = ask(flights, work)
    await turns()
    asker.cancel()
    await turns()
    assert work.cancelled == 1
    assert not asker.done()
    work.may_clean.set()
    with pytest.raises(asyncio.CancelledError):
        await asker
    assert work.cleaned == 1


async def test_whoever_asks_while_the_work_is_being_cancelled_starts_anew(flights: Flights[str], work: Work) -> None:
    work.may_clean.clear()
    leaver = ask(flights, work)
    await turns()
    leaver.cancel()
    await turns()
    newcomer = ask(flights, work)
    await turns()
    assert work.begun == 2
    # The end of the cancelled work must not take the new one off the table.
    work.may_clean.set()
    await asyncio.gather(leaver, return_exceptions=True)
    companion = ask(flights, work)
    await turns()
    work.go_on.set()
    assert await newcomer == ("answer 2", False)
    assert await companion == ("answer 2", True)


async def test_an_error_reaches_everyone_who_waits(flights: Flights[str], work: Work) -> None:
    askers = [ask(flights, work) for _ in range(3)]
    await turns()
    work.failure = LookupError("no such model")
    work.go_on.set()
    answers = await asyncio.gather(*askers, return_exceptions=True)
    assert [(type(answer), str(answer)) for answer in answers] == [(LookupError, "no such model")] * 3
    assert len(flights) == 0


async def test_whoever_comes_after_a_failure_starts_anew(flights: Flights[str], work: Work) -> None:
    work.failure = LookupError()
    work.go_on.set()
    with pytest.raises(LookupError):
        await flights.join("key", work)
    work.failure = None
    assert await flights.join("key", work) == ("answer 2", False)


async def test_an_asker_who_is_told_of_a_failure_may_ask_again_at_once(flights: Flights[str], work: Work) -> None:
    async def persistent() -> tuple[str, bool]:
        try:
            return await flights.join("key", work)
        except LookupError:
            work.failure = None
            return await flights.join("key", work)

    work.failure = LookupError()
    askers = [asyncio.create_task(persistent()) for _ in range(3)]
    await turns()
    work.go_on.set()
    answers = await asyncio.gather(*askers)
    assert {answer for answer, _ in answers} == {"answer 2"}


async def test_those_who_joined_are_counted_and_the_one_who_began_is_not(flights: Flights[str], work: Work) -> None:
    first, *others = (ask(flights, work) for _ in range(4))
    elsewhere = ask(flights, work, "another")
    await turns()
    assert flights.joined == 3
    others.pop().cancel()
    await turns()
    assert flights.joined == 2
    work.go_on.set()
    await asyncio.gather(first, *others, elsewhere)
    assert flights.joined == 0
