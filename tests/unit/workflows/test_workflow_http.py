"""Requests of workflows: only where the operator lets them, whatever an address is made to look like."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from workflow_scene import Drawer, archive_of, execution

from gateway.workflows.kept import StepExecution
from gateway.workflows.running import Context, Inner, Result, StepFailed
from gateway.workflows.spec import Http
from gateway.workflows.steps.http import Requests
from providers.errors import Fault, Misconfigured, TimedOut, Unreachable
from providers.transport import Transport


class Upstream:
    """A transport that writes down what it is asked, and answers."""

    def __init__(self, body: bytes = b"", status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes | None]] = []
        self.body, self.status, self.headers = body, status, headers or {}
        self.fault: Fault | None = None
        self.drawer = Drawer()
        #: As of a transport's, of which this is the answer, too.
        self.max_body = 1_000_000

    def open(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, _clocks: Any, *, deadline: Any
    ) -> Any:
        self.asked.append((method, url, dict(headers), body))
        return self

    async def __aenter__(self) -> Any:
        if self.fault is not None:
            raise self.fault
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def read(self) -> bytes:
        return self.body

    async def more(self) -> bytes:
        piece, self.body = self.body[:400], self.body[400:]
        return piece


def send(upstream: Upstream, hosts: Sequence[str] = ("api.example.org",), **node: Any) -> Result:
    step = StepExecution("stepexec_1", "wfexec_1", "a", "http", tries=2)
    context = Context(execution(), step, None, cast("Inner", None))
    made = msgspec.convert({"type": "http", "url": "https://api.example.org/x", **node}, Http)
    archive = archive_of(upstream.drawer)
    return asyncio.run(Requests(lambda: cast("Transport", upstream), lambda: hosts, archive)(context, made, {}))


def refused(url: str, *hosts: str) -> str | None:
    """The code of the refusal; that nobody was asked is looked at."""
    upstream = Upstream()
    with pytest.raises(StepFailed) as caught:
        send(upstream, hosts, url=url)
    assert upstream.asked == []
    assert not caught.value.transient
    return caught.value.failure.code


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://api.example.org/x", ["api.example.org"]),
        ("HTTPS://API.Example.ORG/x", ["api.example.org"]),
        ("https://api.example.org/x", ["API.example.org"]),
        ("https://api.example.org:443/x", ["api.example.org"]),
        ("http://api.example.org:80/x", ["api.example.org"]),
        ("http://api.example.org:8080/x", ["api.example.org:8080"]),
        ("https://a.b.example.org/x", ["other.org", "*.example.org"]),
    ],
)
def test_hosts_that_are_named_are_reached(url: str, hosts: list[str]) -> None:
    upstream = Upstream()
    assert send(upstream, hosts, url=url).output["status"] == 200
    assert len(upstream.asked) == 1


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://api.example.org/x", []),
        ("http://169.254.169.254/latest/meta-data", ["*.example.org"]),
        ("https://api.example.org:8443/x", ["api.example.org"]),
        ("http://api.example.org:0/x", ["api.example.org"]),
        ("http://api.example.org:443/x", ["api.example.org"]),
        ("https://api.example.org/x", ["api.example.org:8443"]),
        ("https://evil.org/api.example.org", ["api.example.org"]),
        ("https://api.example.org.evil.org/", ["api.example.org", "*.example.org"]),
        ("https://evilexample.org/", ["*.example.org"]),
        ("https://api.example.org./", ["api.example.org"]),
    ],
)
def test_others_are_not(url: str, hosts: list[str]) -> None:
    assert refused(url, *hosts) == "host_not_allowed"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://api.example.org/",
        "file:///etc/passwd",
        "//api.example.org/",
        "api.example.org",
        "https://",
        "https://api.example.org@evil.org/",
        "https://user:secret@api.example.org/",
        "https://@api.example.org/",
        "https://evil.org\\@api.example.org/",
        "https://evil.org\\.api.example.org/",
        "https://evil.org\\x.api.example.org/",
        "https://evil.org%2f.api.example.org/",
        "https://evil.org%00.api.example.org/",
        "https://ｅvil.api.example.org/",
        "https://evil。api.example.org/",
        "https://evil\u2100.api.example.org/",
        "https://[::1/",
        "https://api.example.org:http/",
        "https://api.example.org:99999/",
        "https://ev il.api.example.org/",
    ],
)
def test_addresses_that_are_read_in_two_ways_are_none(url: str) -> None:
    assert refused(url, "api.example.org", "*.api.example.org", "*") == "invalid_url"


def test_what_was_checked_is_what_is_asked() -> None:
    """What a parser leaves out (tabs, line ends) nobody else is to read."""
    upstream = Upstream()
    send(upstream, ["api.example.org"], url=" https://api.exa\tmple.org/a\nb")
    assert upstream.asked[0][1] == "https://api.example.org/ab"


def test_what_is_sent() -> None:
    upstream = Upstream()
    node: dict[str, Any] = {
        "method": "POST",
        "query": {"b": [1, "x y"], "c": "ü"},
        "body": {"k": [1, None]},
        "headers": {"X-Key": "s"},
    }
    send(upstream, url="https://api.example.org/x?a=1", **node)
    (method, url, headers, body), *_ = upstream.asked
    assert (method, url) == ("POST", "https://api.example.org/x?a=1&b=1&b=x+y&c=%C3%BC")
    assert headers == {"x-key": "s", "content-type": "application/json", "idempotency-key": "wfexec_1/a/-1/2"}
    assert body == b'{"k":[1,null]}'


def test_text_is_sent_as_it_is_and_headers_are_the_callers() -> None:
    upstream = Upstream()
    send(upstream, method="PUT", body="täxt", headers={"Content-Type": "text/plain", "Idempotency-Key": "mine"})
    _, _, headers, body = upstream.asked[0]
    assert headers == {"content-type": "text/plain", "idempotency-key": "mine"}
    assert body == "täxt".encode()


@pytest.mark.parametrize(
    ("kind", "body", "decoded"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("application/problem+JSON; charset=utf-8", b"[1]", [1]),
        ("application/json", b"{broken", "{broken"),
        ("application/json", b'"\xff"', '"\ufffd"'),
        ("application/json", b"[" * 100_000, "[" * 100_000),
        ("text/plain", b'{"a": 1}', '{"a": 1}'),
        ("text/plain", b"\xff\x00", "\ufffd\x00"),
        ("", b"", ""),
    ],
)
def test_json_is_read_where_it_says_so_and_is(kind: str, body: bytes, decoded: Any) -> None:
    headers = {"content-type": kind} if kind else {}
    assert send(Upstream(body, headers=headers)).output == {"status": 200, "headers": headers, "body": decoded}


@pytest.mark.parametrize(
    ("status", "accept", "transient"),
    [
        (200, [], None),
        (299, [], None),
        (301, [], False),
        (404, [], False),
        (429, [], True),
        (503, [], True),
        (408, [], True),
        (404, [404], None),
        (200, [404], False),
        (500, [200, 500], None),
    ],
)
def test_which_statuses_are_failures_and_which_of_them_pass(
    status: int, accept: list[int], transient: bool | None
) -> None:
    upstream = Upstream(b"x" * 2000, status)
    if transient is None:
        assert send(upstream, accept=accept).output["status"] == status
        return
    with pytest.raises(StepFailed) as caught:
        send(upstream, accept=accept)
    assert (caught.value.failure.type, caught.value.failure.status) == ("http_error", status)
    assert caught.value.transient is transient
    assert len(caught.value.failure.message) < 600


@pytest.mark.parametrize(
    ("fault", "transient"), [(Unreachable("gone"), True), (TimedOut("total", 3.0), True), (Misconfigured("odd"), False)]
)
def test_faults_on_the_way_are_transient_but_for_what_is_malformed(fault: Fault, transient: bool) -> None:
    upstream = Upstream()
    upstream.fault = fault
    with pytest.raises(StepFailed) as caught:
        send(upstream)
    assert (caught.value.failure.type, caught.value.transient) == (fault.kind, transient)


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Connection"])
def test_headers_that_say_where_a_request_ends_and_to_whom_it_goes_are_not_the_callers(name: str) -> None:
    upstream = Upstream()
    with pytest.raises(StepFailed) as caught:
        send(upstream, headers={name: "evil.org"})
    assert caught.value.failure.code == "invalid_header"
    assert upstream.asked == []


# ------------------------------------------------------------------------------------------------------------- bodies

PNG = bytes(range(256)) * 8


@pytest.mark.parametrize(
    ("body", "told", "shown"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b"<a/>", "image/svg+xml", "<a/>"),
        ("é".encode(), "", "é"),
        (b"", "image/png", ""),
        (b"x" * 1_000, "text/plain", "x" * 1_000),
    ],
)
def test_text_stands_in_the_output(body: bytes, told: str, shown: Any) -> None:
    upstream = Upstream(body, headers={"content-type": told} if told else {})
    upstream.max_body = 1_000
    result = send(upstream)
    assert result.output["body"] == shown
    assert (result.made, upstream.drawer.files) == ([], {})


@pytest.mark.parametrize(
    ("body", "told", "url", "name", "kind"),
    [
        (PNG, "image/png", "https://api.example.org/a/cat%20one.png?size=1", "cat one.png", "image/png"),
        (PNG, "", "https://api.example.org/", "a.bin", "application/octet-stream"),
        (PNG, "image/png\tx", "https://api.example.org/", "a.bin", "application/octet-stream"),
        (b"plain", "application/pdf", "https://api.example.org/", "a.pdf", "application/pdf"),
        (b"x" * 1_001, "text/csv", "https://api.example.org/t.csv", "t.csv", "text/csv"),
    ],
)
def test_what_is_no_text_or_too_large_becomes_a_file(body: bytes, told: str, url: str, name: str, kind: str) -> None:
    upstream = Upstream(body, headers={"content-type": told} if told else {})
    upstream.max_body = 1_000
    result = send(upstream, url=url)
    (made,) = result.made
    assert result.output["body"] == made.reference
    assert (made.name, made.media_type, made.size, made.node_id) == (name, kind, len(body), "a")
    assert upstream.drawer.files == {made.path: body}


def test_a_node_may_name_the_file_of_its_body() -> None:
    upstream = Upstream(PNG, headers={"content-type": "image/png"})
    (made,) = send(upstream, artifact={"name": "a/cat", "media_type": "image/x-cat"}).made
    assert (made.name, made.media_type) == ("a_cat", "image/x-cat")


def test_a_body_that_no_file_may_hold_fails_for_good() -> None:
    upstream = Upstream(b"\xff" * 10_001, headers={"content-type": "image/png"})
    with pytest.raises(StepFailed) as caught:
        send(upstream)
    assert (caught.value.failure.code, caught.value.transient) == ("artifact_too_large", False)
    assert upstream.drawer.files == {}


def test_a_refusal_is_no_file_whatever_it_is() -> None:
    upstream = Upstream(PNG, status=500, headers={"content-type": "image/png"})
    with pytest.raises(StepFailed) as caught:
        send(upstream)
    assert (caught.value.failure.status, upstream.drawer.files) == (500, {})
