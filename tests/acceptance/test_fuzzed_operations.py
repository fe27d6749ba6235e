"""Every documented operation, with what its document does not foresee: refused, never a defect. See `make fuzz`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.driving import World

ODD = ["0", "-1", "9" * 40, "\x00", "a\nb", "../../etc/passwd", "%", "\U0001f600", "x" * 3000, "' OR 1=1 --", "NaN"]
BODIES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'"a"',
    b'{"a": {"b": [1e999]}}',
    b"\xff\xfe",
    b'{"name": "\\u0000"}',
]
METHODS = ("get", "post", "put", "patch", "delete")


def operations(document: dict[str, Any]) -> list[tuple[str, str, list[str], set[int]]]:
    """Method, path, names of query parameters, and documented statuses of each."""
    found: list[tuple[str, str, list[str], set[int]]] = []
    for path, item in sorted(document["paths"].items()):
        for method in METHODS:
            if method in item:
                parameters = item[method].get("parameters", [])
                queries = [one["name"] for one in parameters if one["in"] == "query"]
                found.append((method.upper(), path, queries, {int(one) for one in item[method]["responses"]}))
    return found


@pytest.mark.parametrize("turn", range(len(ODD)))
def test_no_operation_has_a_defect_or_answers_what_is_not_documented(world: World, turn: int) -> None:
    failed: list[str] = []
    for place, (method, path, queries, documented) in enumerate(operations(world.get("/openapi.json").json)):
        odd = ODD[(turn + place) % len(ODD)]
        filled = re.sub(r"\{[^}]*\}", lambda _, odd=odd: quote(odd, safe="")[:3000], path)
        asked = "&".join(f"{name}={quote(odd)}" for name in queries)
        body = BODIES[(turn + place) % len(BODIES)] if method != "GET" else None
        answer = world.call(method, f"{filled}?{asked}", body, content_type="application/json")
        # 503: no worker runs here, and a server that nobody has named is away.
        if (answer.status >= 500 and answer.status != 503) or answer.status not in documented:
            failed.append(f"{answer.status} {method} {path} {odd[:20]!r} {answer.body[:200]!r}")
    assert not failed, "\n".join(failed)
