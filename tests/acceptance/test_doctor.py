"""`steelyard doctor`: everything that may be wrong with an installation is told from everything else."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.doctor import configuration
from gateway.doctor.finding import Check, Finding, ok
from gateway.doctor.rounds import all_of
from gateway.store import migrate
from tests.acceptance.driving import ADMIN_KEY, World
from tests.stores.cache.cache_world import Server

STRONG = "4f9b1c27d08e63a5b7c2d9e1f04a8b36"


class Place:
    """A folder in which an operator asks the doctor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def run(self, *words: str, config: dict[str, Any] | None = None, **variables: str) -> Result:
        """Ask; the port is a free one unless it is named."""
        environment = {"STEELYARD_PORT": str(self.port), "STEELYARD_ADMIN_KEY": STRONG, "COLUMNS": "200", **variables}
        extra: list[str] = []
        if config is not None:
            path = self.folder / "it.yaml"
            path.write_text(yaml.safe_dump(config))
            path.chmod(0o600)
            extra = ["--config", str(path)]
        return CliRunner().invoke(main, ["doctor", *words, *extra], env=environment)

    def told(self, *words: str, config: dict[str, Any] | None = None, **variables: str) -> list[dict[str, Any]]:
        done = self.run("--json", *words, config=config, **variables)
        report = json.loads(done.stdout)
        assert done.exit_code == (1 if report["problem"] else 0)
        found: list[dict[str, Any]] = report["findings"]
        assert all(one["advice"] for one in found if one["level"] != "ok")
        return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL", "_proxy", "_PROXY"))]:
        monkeypatch.delenv(name)
    return Place(tmp_path)


def of(found: list[dict[str, Any]], check: str, level: str | None = None) -> str:
    """All that was said under that name, with the advice."""
    return "\n".join(
        f"{one['said']} → {one['advice']}"
        for one in found
        if one["check"] == check and (level is None or one["level"] == level)
    )


def test_a_fresh_folder_is_fine_and_stays_as_it_was(place: Place) -> None:
    done = place.run()
    assert done.exit_code == 0, done.output
    assert "0 problems" in done.output
    assert "the simulator would answer" in done.output
    assert "`steelyard serve` makes it" in done.output
    assert list(place.folder.iterdir()) == []


def test_what_keeps_the_settings_from_loading_is_told_with_its_place(place: Place) -> None:
    found = place.told(config={"server": {"prot": 8000}, "cache": {"ttl": -1}})
    said = of(found, "configuration", "problem")
    assert "server.prot" in said
    assert "port" in said
    assert "cache.ttl" in said


def test_settings_that_do_nothing_are_named_with_where_they_come_from(place: Place) -> None:
    config = {
        "cache": {"enabled": False, "ttl": 60},
        "judge": {"sample": 0.5},
        "workflows": {"http_networks": "10.0.0.0/8"},
    }
    found = place.told(config=config, DB_POOL_SIZE="3", REDIS_MAX_CONNECTIONS="9")
    said = of(found, "configuration", "warning")
    for name in ("cache.ttl", "judge.sample", "workflows.http_networks", "database.pool_size", "redis.max_connections"):
        assert f"{name} is set and does nothing" in said
    assert "environment, DB_POOL_SIZE" in said
    assert "does nothing" not in of(place.told(config={"cache": {"ttl": 60}}), "configuration")


def test_weak_keys_are_told_and_never_shown(place: Place) -> None:
    weak = "changeme-changeme-changeme-42"
    done = place.run(STEELYARD_ADMIN_KEY=weak, STEELYARD_API_KEYS=f"web:aaaaaaaaaaaaaaaaaaaaaaaa,good:{STRONG}")
    assert done.exit_code == 1
    assert "the admin key is easily guessed" in done.output
    assert "the key 'web' is easily guessed" in done.output
    assert "'good'" not in done.output
    assert weak not in done.output
    none = place.told(STEELYARD_ADMIN_KEY="", STEELYARD_HOST="0.0.0.0", STEELYARD_ALLOW_ANONYMOUS="true")
    assert "whoever reaches this gateway" in of(none, "keys", "problem")


@pytest.mark.parametrize("key", [STRONG, "sk-3kTz9QpLw7VbX2mN8sRd", "0123456789abcdef0123456789abcdef"[::-1]])
def test_a_random_key_is_strong(key: str) -> None:
    assert configuration.strength(key) >= 60


def test_files_with_keys_that_others_can_read_are_told(place: Place) -> None:
    (place.folder / ".env").write_text("LOG_LEVEL=info\n")
    (place.folder / ".env").chmod(0o644)
    assert "chmod 600 .env" in of(place.told(), "configuration", "warning")
    (place.folder / ".env").chmod(0o600)
    assert "chmod" not in of(place.told(), "configuration")


# Providers


class _Provider(BaseHTTPRequestHandler):
    status, body, date = 200, b"{}", ""

    def do_GET(self) -> None:
        self.send_response_only(self.status)
        if self.date:
            self.send_header("date", self.date)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


@contextmanager
def provider(status: int, body: bytes = b"{}", at: float | None = None) -> Generator[dict[str, Any]]:
    """The settings of a provider that answers so."""
    date = "" if at is None else formatdate(at, usegmt=True)
    handler = type("Handler", (_Provider,), {"status": status, "body": body, "date": date})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}/v1"
    one = {"dialect": "openai", "base_url": base, "api_key": "sk-thekeythekeythekey1234"}
    try:
        yield {"providers": {"them": {**one, "models": [{"name": "m", "price": "free"}]}}}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_wrong_key_is_told_from_no_network_and_from_trouble_of_theirs(place: Place) -> None:
    with provider(401) as config:
        said = of(place.told(config=config), "provider them", "problem")
        assert "does not take the key (********1234): 401" in said
    said = of(place.told(config=config), "provider them", "problem")
    assert "unreachable" in said
    assert "network" in said
    for status in (503, 429):
        with provider(status) as config:
            assert f"cannot serve now: {status}" in of(place.told(config=config), "provider them", "warning")
    with provider(404) as config:
        assert "lists no models: 404" in of(place.told(config=config), "provider them", "warning")
    with provider(200, b"not json") as config:
        assert "takes the key" in of(place.told(config=config), "provider them", "ok")


def test_models_that_the_provider_does_not_know_are_named(place: Place) -> None:
    with provider(200, b'{"data": [{"id": "other"}]}') as config:
        found = place.told(config=config)
        assert "lists 1 models" in of(found, "provider them", "ok")
        assert "does not list m" in of(found, "provider them", "warning")
    with provider(200, b'{"data": [{"id": "m"}]}') as config:
        assert of(place.told(config=config), "provider them", "warning") == ""


def test_a_clock_that_is_wrong_is_told(place: Place) -> None:
    for off, level in ((0, "ok"), (20, "warning"), (4_000, "problem"), (-4_000, "problem")):
        with provider(200, at=time.time() - off) as config:
            said = of(place.told(config=config), "clock", level)
            assert "them" in said
            if off:
                assert ("ahead" if off > 0 else "behind") in said


def test_the_simulators_three_formats_are_understood_and_asked_only_when_told(place: Place, world: World) -> None:
    providers = {
        name: {"dialect": one.dialect, "base_url": one.base_url, "api_key": "sim-key-0123456789abcdef",
               "models": [{"name": "sim-chat", "price": "free"}]}
        for name, one in world.serving.settings.providers.items()
    }  # fmt: skip
    before = world.asked()
    found = place.told(config={"providers": providers})
    for name in providers:
        assert "takes the key" in of(found, f"provider {name}", "ok"), of(found, f"provider {name}")
    asked = world.asked()
    found = place.told("--ask", config={"providers": providers})
    for name in providers:
        assert "sim-chat answered in" in of(found, f"provider {name}", "ok")
    # A list of models is no request that is worked on; a question is one more.
    assert world.asked() - asked == (asked - before) + len(providers)


# Stores


def test_a_database_is_told_from_one_that_is_away_and_no_password_is_shown(place: Place, server: str) -> None:
    url = server
    found = place.told(DATABASE_URL=url)
    assert "PostgreSQL" in of(found, "database", "ok")
    assert "agrees with the database" in of(found, "clock", "ok")
    assert "no tables yet" in of(found, "migrations", "ok")
    asyncio.run(migrate.upgrade(url, "0002"))
    assert "steelyard db upgrade" in of(place.told(DATABASE_URL=url), "migrations", "warning")
    asyncio.run(migrate.downgrade(url, "base"))
    away = place.run(DATABASE_URL="postgresql+asyncpg://me:hushhush@127.0.0.1:1/steelyard")
    assert away.exit_code == 1
    assert "Start it, or mend DATABASE_URL" in away.output
    assert "hushhush" not in away.output


def test_a_file_that_is_no_database_is_told(place: Place) -> None:
    (place.folder / "notes.txt").write_text("no database " * 100)
    told = of(place.told(DATABASE_URL=f"sqlite+aiosqlite:///{place.folder}/notes.txt"), "database", "problem")
    assert "file is not a database" in told
    assert "See what it is" in told


def test_a_sqlite_that_cannot_be_written_to_is_told(place: Place) -> None:
    url = f"sqlite+aiosqlite:///{place.folder}/data/steelyard.db"
    asyncio.run(migrate.upgrade(url))
    found = place.told(DATABASE_URL=url)
    assert "SQLite" in of(found, "database", "ok")
    assert of(found, "database", "problem") == ""
    file = place.folder / "data/steelyard.db"
    file.write_bytes(b"no database at all, but long enough to be looked at as one" * 100)
    assert of(place.told(DATABASE_URL=url), "database", "problem")


def test_redis_is_told_from_one_that_is_away_or_takes_no_password(place: Place, redis: Server) -> None:
    found = place.told(REDIS_URL=redis.url())
    assert "answers in" in of(found, "redis", "ok")
    assert "append-only" in of(found, "redis", "warning")
    assert "agrees with Redis" in of(found, "clock", "ok")
    redis.kill()
    away = place.run(REDIS_URL=redis.url("hushhush"))
    assert away.exit_code == 1
    assert "mend REDIS_URL" in away.output
    assert "hushhush" not in away.output


# This machine


def test_a_gateway_that_runs_is_told_from_another_program(place: Place, keyed: World) -> None:
    here = str(keyed.serving.port)
    found = place.told(STEELYARD_ADMIN_KEY=ADMIN_KEY, STEELYARD_PORT=here)
    assert "a gateway answers" in of(found, "port", "ok")
    assert "version" in of(found, "gateway")
    found = place.told(STEELYARD_PORT=here)
    assert "does not take this configuration's keys" in of(found, "gateway", "warning")
    with provider(200) as config:
        taken = config["providers"]["them"]["base_url"].rpartition(":")[2].partition("/")[0]
        assert "another program" in of(place.told(STEELYARD_PORT=taken), "port", "problem")


def test_folders_that_cannot_be_used_and_records_that_wait_are_told(place: Place) -> None:
    spill = place.folder / "spill/0"
    spill.mkdir(parents=True)
    (spill / "000000000001.spill").write_bytes(b"x" * 2_000)
    (spill / "000000000002.spill.damaged").write_bytes(b"x")
    (place.folder / "file").write_text("")
    found = place.told(
        STEELYARD_LOG_SPILL_DIR=str(spill.parent), STEELYARD_ARTIFACTS_DIR=str(place.folder / "file/artifacts")
    )
    said = of(found, "folders", "warning")
    assert "2.0 kB of records wait" in said
    assert "1 damaged" in said
    assert "artifacts would lie there" in of(found, "folders", "problem")


def test_a_time_zone_that_is_none_is_told(place: Place) -> None:
    assert "no 'Mars/Olympus'" in of(place.told(TZ="Mars/Olympus"), "time zone", "problem")


async def test_a_check_that_hangs_or_fails_keeps_no_other_from_being_told() -> None:
    async def hangs() -> list[Finding]:
        await asyncio.sleep(3_600)
        return []

    async def fails() -> list[Finding]:
        raise RuntimeError("hushhush")

    async def fine() -> list[Finding]:
        return [ok("c", "fine")]

    heard: list[str] = []
    checks = [Check("a", hangs), Check("b", fails), Check("c", fine)]
    found = await all_of(checks, 0.05, heard.append)
    assert [(one.check, one.level) for one in found] == [("a", "problem"), ("b", "problem"), ("c", "ok")]
    assert "0.05 s" in found[0].said
    assert "hushhush" not in str(found)
    assert sorted(heard) == ["a", "b", "c"]
