"""A budget under load while processes are killed: nobody goes beyond it, and nobody waits for what a dead one had."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPConnection
from pathlib import Path

import pytest

from providers import simulator
from tests.acceptance.bad_days import Told, ask, callers, eventually, four
from tests.acceptance.bad_processes import Program, a_program, configuration
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY

#: USD; a request costs 0.0004 with the cheapest provider, and reserves 0.0012 and a little.
BUDGET, TOKENS, DEAREST = 0.04, 100, 0.0013


def spent(program: Program) -> float:
    """What the ledger says."""
    connection = HTTPConnection("127.0.0.1", program.port, timeout=20)
    try:
        connection.request("GET", "/api/spend/budgets", headers={"authorization": f"Bearer {ADMIN_KEY}"})
        (budget,) = json.loads(connection.getresponse().read())["budgets"]
        return budget["spent_usd"]
    finally:
        connection.close()


@pytest.mark.parametrize("victim", ["a worker", "the gateway"])
async def test_a_kill_neither_overspends_nor_holds_up_who_lives(tmp_path: Path, victim: str) -> None:
    with simulator.start(four()) as running:
        config = {
            **configuration(running, four()),
            "keys": [{"name": "poor", "key": ALICE_KEY, "budget": {"usd": BUDGET, "period": "total"}}],
            # Less than it takes to notice a dead process of another machine.
            "requests": {"timeout": 15},
        }
        with a_program(tmp_path, config, "--workers", "2", STEELYARD_ADMIN_KEY=ADMIN_KEY) as program:
            program.start()
            program.until_migrated(ADMIN_KEY)
            await eventually(lambda: len(program.told("a worker is ready")) == 2)
            told: list[Told] = []

            async def customer(number: int) -> None:
                """Asks until there is no money left."""
                while not told or told[-1].status != 429:
                    text = f"{number}, {len(told)} #sim tokens={TOKENS}"
                    one = await ask(session, program.url, text, max_tokens=TOKENS, temperature=1)
                    told.append(one)
                    if not one.status:
                        await asyncio.sleep(0.05)  # nobody is there just now

            async with callers(key=ALICE_KEY) as session:
                customers = [asyncio.create_task(customer(number)) for number in range(6)]
                await eventually(lambda: len(told) > 20)
                if victim == "a worker":
                    program.workers()[0].kill()
                else:
                    await asyncio.to_thread(program.kill)
                    await asyncio.to_thread(program.start)
                await asyncio.gather(*customers)
            assert {one.status for one in told} <= {200, 429, 0}, [one.body for one in told if one.status > 429]
            refused = {json.loads(one.body)["error"]["code"] for one in told if one.status == 429}
            assert refused == {"insufficient_quota"}
            await eventually(lambda: spent(program) >= BUDGET)
            assert spent(program) < BUDGET + DEAREST
