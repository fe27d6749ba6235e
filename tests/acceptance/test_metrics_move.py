"""What befalls a running gateway is in its metrics: in one process, and in two workers that count as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from gateway.settings import SecretUrl, Settings
from gateway.settings.limits import Budget, Budgets
from gateway.settings.secrets import Secret
from gateway.settings.shared import Key
from providers import simulator
from providers.simulator import Simulation
from providers.simulator.config import Limits
from tests.acceptance.bad_days import MODEL, PATIENCE, a_day, ask, callers, four, impatient, look, question
from tests.acceptance.bad_processes import Program, a_program, configuration
from tests.acceptance.flows import prompts
from tests.serving import Serving, settings_in, simulated
from tests.unit.gateway.metric_samples import told

#: A caller's key; USD that it, its tag and alfa may cost.
ALICE = "alice-0123456789abcdef0123456789abcdef"
HERS, TAGS, ALFAS = 3.0, 2.0, 5.0
DEPLOYMENT = ("provider", "model")


class Page:
    """What `/metrics` says."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, name: str, *labels: str, **having: str) -> dict[tuple[str, ...], float]:
        """The samples of this name, by these labels, of those that have these values."""
        names = list(having)
        found: dict[tuple[str, ...], float] = {}
        for key, value in told(self.text, name, *labels, *names).items():
            if list(key[len(labels) :]) == [having[one] for one in names]:
                found[key[: len(labels)]] = value
        return found

    def one(self, name: str, **having: str) -> float | None:
        """The one that has these values; None without any."""
        return self(name, **having).get(())


async def page(session: aiohttp.ClientSession, url: str) -> Page:
    async with session.get(f"{url}/metrics") as answer:
        assert answer.status == 200
        return Page(await answer.text())


async def until_told(
    session: aiohttp.ClientSession, url: str, seen: Callable[[Page], object], within: float = PATIENCE
) -> Page:
    """Look until it says what is to be seen."""
    clock = asyncio.get_running_loop().time
    until = clock() + within
    while not seen(found := await page(session, url)):
        shown = [line for line in found.text.splitlines() if "_bucket" not in line and not line.startswith("#")]
        assert clock() < until, "it never said so: " + " | ".join(shown)
        await asyncio.sleep(0.05)
    return found


def owned(settings: Settings) -> Settings:
    """Whoever asks has a key with a tag, and a budget; the metrics are public."""
    key = Key(name="alice", key=Secret(ALICE), tags=("red",), budget=Budget(usd=HERS, period="total"))
    alfa = replace(settings.providers["alfa"], budget=Budget(usd=ALFAS, period="total"))
    return replace(
        settings,
        keys=(key,),
        budgets=Budgets(tags={"red": Budget(usd=TAGS, period="total")}),
        providers={**settings.providers, "alfa": alfa},
        metrics=replace(settings.metrics, public=True),
    )


def alone() -> Simulation:
    """Alfa, which tells of its quota: so small a one that what a test takes of it is not back before it looks."""
    limits = Limits(requests_per_min=10, tokens_per_min=1_000_000)
    return Simulation(providers=(replace(four().providers[0], limits=limits),))


async def test_what_is_asked_and_answered_moves_the_metrics(tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {ALICE}"}
    with (
        simulator.start(alone()) as upstream,
        Serving(owned(simulated(impatient(settings_in(tmp_path)), upstream, alone()))) as day,
    ):
        async with callers() as session:
            for number in (1, 2, 2):
                one = await ask(
                    session, day.url, f"question {number}.", model=f"alfa/{MODEL}", temperature=0, headers=headers
                )
                assert one.good
            assert (await ask(session, day.url, "stream.", stream=True, headers=headers)).good
            spent = sum((await page(session, day.url))("steelyard_cost_usd_total").values())
            assert spent > 0
            limits = {("key", "alice"): HERS, ("tag", "red"): TAGS, ("provider", "alfa"): ALFAS}
            left = {whose: pytest.approx(usd - spent) for whose, usd in limits.items()}
            # A look at the budgets shows less as long as the last records are not written.
            found = await until_told(
                session, day.url, lambda now: now("steelyard_budget_left_usd", "kind", "name") == left
            )
            assert found("steelyard_budget_limit_usd", "kind", "name") == limits
            assert sum(found("steelyard_tag_cost_usd_total", tag="red").values()) == pytest.approx(spent)
            assert found("steelyard_tag_requests_total", "tag") == {("red",): 4.0}
            assert found("steelyard_cache_hits_total", "tier")[("memory",)] == 1.0
            assert found.one("steelyard_quota_limit", provider="alfa", kind="requests") == 10.0
            assert 7 <= (found.one("steelyard_quota_remaining", provider="alfa", kind="requests") or 0) < 10
            calls = found("gen_ai_client_operation_duration_seconds_count", "gen_ai_response_model")
            assert calls == {(MODEL,): 3.0}
            assert sum(found("gen_ai_client_operation_time_to_first_chunk_seconds_count").values()) == 1.0
            assert sum(found("gen_ai_client_token_usage_count").values()) == 6.0
            assert sum(found("steelyard_database_pool_wait_seconds_count", outcome="got").values()) > 0
            assert found.one("steelyard_dependency_up", dependency="database") == 1.0
            assert sum(found("steelyard_workers").values()) == 1.0
            assert (found.one("steelyard_cpu_seconds_total") or 0) > 0
            assert (found.one("steelyard_memory_bytes") or 0) > 1e6
            assert "_created" not in found.text
            await until_told(session, day.url, lambda now: now.one("steelyard_event_loop_lag_seconds_count"))
            await until_told(
                session, day.url, lambda now: now.one("steelyard_request_log_rows_total", state="written") == 4.0
            )


async def test_what_breaks_moves_the_metrics(tmp_path: Path) -> None:
    def change(settings: Settings) -> Settings:
        return replace(impatient(settings), metrics=replace(settings.metrics, public=True))

    with a_day(tmp_path, four(), change) as day:
        async with callers() as session:
            day.befall("overloaded", "alfa")
            for number in range(12):
                assert (await ask(session, day.url, f"question {number}.", temperature=1)).good
            found = await page(session, day.url)
            failed = sum(found("steelyard_attempts_total", provider="alfa", outcome="overloaded").values())
            assert sum(found("steelyard_fallbacks_total", provider="alfa", reason="overloaded").values()) == failed > 0
            assert sum(found("steelyard_dwa_excluded_total", "reason", provider="alfa").values()) > 0
            assert sum(found("steelyard_dwa_breaker_openings_total", provider="alfa").values()) >= 1.0
            states = found("steelyard_dwa_breaker_state", "state", provider="alfa")
            assert sum(states.values()) == 1.0
            assert states[("closed",)] == 0.0
            errors = found("gen_ai_client_operation_duration_seconds_count", "error_type", gen_ai_provider_name="alfa")
            assert errors[("overloaded",)] == failed

            day.befall("throttled", "bravo")
            assert (await ask(session, day.url, "who?", model=f"bravo/{MODEL}")).status == 429
            await until_told(
                session, day.url, lambda now: now.one("steelyard_quota_retry_after_seconds", provider="bravo")
            )

            day.befall("hang", "charlie")
            same = [
                asyncio.create_task(ask(session, day.url, "same?", model=f"charlie/{MODEL}", temperature=0))
                for _ in range(3)
            ]
            found = await until_told(session, day.url, lambda now: now.one("steelyard_single_flight_waiters") == 2.0)
            assert found.one("steelyard_requests_in_flight") == 3.0
            assert found.one("steelyard_upstream_connections", state="in_use") == 1.0
            day.heal()
            await asyncio.gather(*same)
            await until_told(session, day.url, lambda now: now.one("steelyard_requests_in_flight") == 0.0)


async def test_rows_that_go_to_the_disk_are_told(tmp_path: Path) -> None:
    def change(settings: Settings) -> Settings:
        nowhere = SecretUrl("postgresql+asyncpg://nobody@127.0.0.1:1/none")
        return replace(settings, database=replace(settings.database, url=nowhere))

    with a_day(tmp_path, four(), change) as day:
        async with callers() as session:
            for number in range(5):
                assert (await ask(session, day.url, f"question {number}.", temperature=1)).good
            found = await until_told(
                session, day.url, lambda now: now.one("steelyard_request_log_rows_total", state="spilled") == 5.0
            )
            assert (found.one("steelyard_log_spill_bytes") or 0) > 0
            assert found.one("steelyard_dependency_up", dependency="database") == 0.0
            assert "error" in await look(session, f"{day.url}/api/sessions")
            found = await page(session, day.url)
            assert (found.one("steelyard_database_pool_wait_seconds_count", outcome="failed") or 0) > 0
            assert found.one("steelyard_request_log_rows_total", state="dropped") == 0.0


async def test_the_pool_of_workflows_is_told_of_with_that_of_requests(tmp_path: Path) -> None:
    def change(settings: Settings) -> Settings:
        return replace(settings, metrics=replace(settings.metrics, public=True))

    with a_day(tmp_path, four(), change) as day:
        async with callers() as session:
            alone = (await page(session, day.url)).one("steelyard_database_pool_limit")
            assert alone
            async with session.post(f"{day.url}/api/workflows", json=prompts("w", "hello")) as answer:
                assert answer.status == 201
            found = await page(session, day.url)
            # By default it is as large.
            assert found.one("steelyard_database_pool_limit") == 2 * alone


@pytest.fixture
def running() -> Any:
    with simulator.start(four()) as started:
        yield started


async def many(program: Program, number: int, **fields: Any) -> None:
    """So many answers over as many connections, so that both workers give some."""
    async with callers() as session:
        found = await asyncio.gather(
            *(ask(session, program.url, f"question {one}.", temperature=1, **fields) for one in range(number))
        )
    assert not [(one.status, one.body) for one in found if not one.good]


async def test_two_workers_count_as_one(running: simulator.Running, tmp_path: Path) -> None:
    config: Mapping[str, Any] = {**configuration(running, four()), "timeout": {"first_byte": 20}}
    with a_program(tmp_path, config, "--workers", "2") as program:
        program.start()
        await many(program, 40)
        async with callers() as session:
            found = await until_told(
                session,
                program.url,
                lambda now: (
                    sum(now("steelyard_workers").values()) == 2.0
                    and sum(now("steelyard_request_log_rows_total", state="written").values()) == 40.0
                ),
            )
            assert sum(found("gen_ai_client_operation_duration_seconds_count").values()) == 40.0
            # What is one for all is not added up, and what is each one's own is.
            weights = found("steelyard_dwa_weight", *DEPLOYMENT)
            assert sum(weights.values()) == pytest.approx(1.0, abs=0.2)
            await until_told(
                session,
                program.url,
                # Closed or, where the machine stood still for a while, what it was taken for meanwhile.
                lambda now: set(now("steelyard_dwa_breaker_state", "provider").values()) == {2.0},
            )
            running.control("alfa", "overloaded")
            # Until both have learned it.
            for _ in range(4):
                await many(program, 20)
            found = await page(session, program.url)
            failed = sum(found("steelyard_attempts_total", provider="alfa", outcome="overloaded").values())
            assert sum(found("steelyard_fallbacks_total", provider="alfa").values()) == failed > 0
            async with asyncio.timeout(PATIENCE):
                while not found("steelyard_dwa_excluded_total", "reason", provider="alfa"):
                    await many(program, 20)
                    found = await page(session, program.url)
            running.control("bravo", "hang")
            path, body = question("the same?", model=f"bravo/{MODEL}", temperature=0)
            # Each over a connection of its own: some in each worker, where one asks and the others wait.
            async with callers() as crowd:
                waiting = [asyncio.create_task(crowd.post(program.url + path, json=body)) for _ in range(8)]
                await until_told(session, program.url, lambda now: now.one("steelyard_single_flight_waiters") == 7.0)
                found = await until_told(
                    session, program.url, lambda now: now.one("steelyard_requests_in_flight") == 8.0
                )
                for one in waiting:
                    one.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
            await until_told(session, program.url, lambda now: now.one("steelyard_requests_in_flight") == 0.0)
