"""A gateway that runs workflows is asked to stop beside a database that is silent: it goes, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.store.engine import parse_url
from tests.acceptance.flows import a_postgres, an_oracle, flows_in, prompts
from tests.stores.store_faults import Proxy

#: Seconds that a stop may take when a database does not answer; supervisors kill after thirty.
STOP = 20.0


@pytest.fixture(scope="module")
def postgres() -> Generator[Callable[[str], str]]:
    with a_postgres() as made:
        yield made


async def test_a_kind_stop_while_the_database_hangs_is_kind_with_workflows_too(
    postgres: Callable[[str], str], tmp_path: Path
) -> None:
    url = parse_url(await asyncio.to_thread(postgres, "silent"))
    folder = str(url.query["host"])
    proxy = Proxy(lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432"))
    await proxy.listen()
    proxied = url.difference_update_query(["host"]).set(host="127.0.0.1", port=proxy.port)
    address = proxied.render_as_string(hide_password=False)
    with ExitStack() as stack:
        oracle = stack.enter_context(an_oracle())
        flows = await asyncio.to_thread(lambda: stack.enter_context(flows_in(tmp_path, oracle, DATABASE_URL=address)))
        await asyncio.to_thread(flows.save, prompts("silent", "s-one", "s-two WAIT", "s-three"))
        oracle.hold("WAIT")
        begun = await asyncio.to_thread(flows.begin, "silent")
        await asyncio.to_thread(flows.eventually, lambda: oracle.times("s-two") == 1)
        proxy.hang()
        flows.program.terminate()
        assert await flows.program.ended(within=STOP) == 0, flows.program.said.read_text()
        await proxy.heal()
        oracle.go_on()
        await asyncio.to_thread(flows.program.start)
        done = await asyncio.to_thread(flows.until, begun)
        assert done["status"] == "completed", done["error"]
        assert oracle.times("s-one") == oracle.times("s-three") == 1
    await proxy.close()
