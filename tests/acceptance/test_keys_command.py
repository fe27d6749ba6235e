"""`steelyard keys …` and `steelyard audit` against a running gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, World
from tests.serving import until


@pytest.fixture(scope="module", autouse=True)
def migrated(keyed: World) -> None:
    until(lambda: keyed.get("/api/audit", ADMIN_KEY).status == 200)


def run(world: World, *arguments: str, key: str = ADMIN_KEY) -> Result:
    return CliRunner().invoke(main, [*arguments, "--url", world.url, "--key", key], env={"COLUMNS": "250"})


def told(world: World, *arguments: str) -> Any:
    done = run(world, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_new_keys_text_stands_alone_on_standard_output(keyed: World) -> None:
    done = run(keyed, "keys", "create", "by-command", "--tag", "a", "--tag", "b", "--rpm", "60", "--budget", "50/week",
               "--scope", "use", "--model", "sim-chat", "--no-log-bodies", "--expires", "90d")  # fmt: skip
    assert done.exit_code == 0, done.output
    text = done.stdout.strip()
    assert keyed.chat("Hello", key=text).status == 200
    (found,) = [one for one in told(keyed, "keys", "list", "--tag", "b") if one["name"] == "by-command"]
    one = told(keyed, "keys", "show", found["id"])
    assert (one["tags"], one["scopes"], one["models"], one["log_bodies"]) == (["a", "b"], ["use"], ["sim-chat"], False)
    assert (one["rates"], one["budget"]["usd"], one["budget"]["period"]) == ({"rpm": 60}, 50.0, "week")
    left = datetime.fromisoformat(one["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)
    assert text not in run(keyed, "keys", "list").output + run(keyed, "keys", "show", found["id"]).output


def test_names_are_shown_as_they_are(keyed: World) -> None:
    """Not as rich would read them, which would leave some out and stumble over others."""
    for target in ("[/bold]", "[red]herring", ":smile:"):
        assert keyed.call("DELETE", f"/api/db/cache/clear?model={quote(target)}", key=ADMIN_KEY).status == 200
        done = run(keyed, "audit", "--action", "cache.clear", "--limit", "1")
        assert done.exit_code == 0, done.output
        assert target in done.output


def test_a_key_is_changed_rotated_and_revoked(keyed: World) -> None:
    made = told(keyed, "keys", "create", "changing", "--model", "sim-chat", "--budget", "5")
    one = made["id"]
    changed = told(keyed, "keys", "update", one, "--any", "model", "--budget", "none", "--tag", "z", "--expires", "1h")
    assert (changed["models"], changed["budget"], changed["tags"]) == (None, None, ["z"])
    assert told(keyed, "keys", "update", "changing", "--expires", "never")["expires_at"] is None
    turned = run(keyed, "keys", "rotate", "changing", "--overlap", "1h").stdout.strip()
    for text in (made["key"], turned):
        assert keyed.get("/api/llm/providers", text).status == 200
    assert "revoked" in run(keyed, "keys", "revoke", "changing").output
    for text in (made["key"], turned):
        assert keyed.get("/api/llm/providers", text).status == 401
    acts = told(keyed, "audit", "--target", one, "--since", "1h")
    assert [act["action"] for act in acts] == ["key.revoke", "key.rotate", "key.update", "key.update", "key.create"]
    shown = run(keyed, "audit", "--action", "key.", "--limit", "5").output
    assert "key.revoke" in shown
    assert one in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keys", "create", "wrong", "--expires", "soon"], "90d"),
        (["keys", "create", "wrong", "--budget", "much"], "50/month"),
        (["keys", "create", "wrong", "--model", "no-such"], "no-such"),
        (["keys", "rotate", "key_none", "--overlap", "long"], "1h"),
        (["keys", "show", "key_none"], "There is no key"),
        (["keys", "create", "alice"], "taken"),
    ],
)
def test_what_cannot_be_is_told(keyed: World, arguments: list[str], said: str) -> None:
    done = run(keyed, *arguments)
    assert done.exit_code != 0
    assert said in done.output


def test_it_takes_the_admin_key(keyed: World) -> None:
    for arguments in (["keys", "list"], ["audit"]):
        done = run(keyed, *arguments, key=ALICE_KEY)
        assert done.exit_code == 1
        assert "admin" in done.output
