"""Which guardrails hold for a request, and how its body is read anew."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.api.ingress import Incoming, Surface
from gateway.api.passing import AUDIO_TRANSCRIPTIONS
from gateway.asking import Ask, Wanted
from gateway.calls import Chat, Passed
from gateway.catalog import Asked, Route
from gateway.errors import BadRequest, Busy, ContentFiltered
from gateway.exchange import Exchange, Preferences
from gateway.governance.keys import Principal
from gateway.guardrails import patterns, spots
from gateway.guardrails.guards import Guards
from gateway.guardrails.moderating import Moderator
from gateway.settings.guardrails import Guardrail, Pattern
from gateway.settings.shared import GUARDRAIL
from providers.dialects import OPENAI

EMAIL = "alice@example.com"
CONFIGURED = {
    "always": Guardrail(always=True, pattern=Pattern(regexes={"a": "aaa"}, action="redact")),
    "routes": Guardrail(pattern=Pattern(regexes={"r": "rrr"}, action="redact")),
    "keys": Guardrail(pattern=Pattern(find=("email",), action="redact")),
    "hard": Guardrail(pattern=Pattern(regexes={"h": "hhh"})),
}


def guards(configured: dict[str, Guardrail], did: list[tuple[str, ...]]) -> Guards:
    moderator: Any = Moderator.__new__(Moderator)

    def counted(*told: str) -> None:
        did.append(told)

    return Guards(configured, {"mine": Route("mine", (), guardrails=("routes",))}, moderator, counted)


def exchange(model: str = "m", caller: Principal | None = None, surface: str = "chat") -> Exchange:
    return Exchange(
        id="req_1",
        created=0.0,
        began=0.0,
        surface=surface,
        dialect="openai",
        principal="p",
        requested_model=model,
        stream=False,
        preferences=Preferences(),
        caller=caller,
        tags={"who": EMAIL},
        request_body=b"x",
    )


def asking(opened: Exchange, text: str) -> Ask:
    """A request of the gateway's own, which nobody but its format can read anew."""
    body = b'{"model":"m","messages":[{"role":"user","content":"' + text.encode() + b'"}]}'
    request = OPENAI.parse(body)
    return Ask(opened, Wanted(Chat(request, OPENAI, drop=False), Asked(frozenset(), 0, 0), None), body, "native", False)


@pytest.mark.parametrize(
    ("model", "caller", "expected"),
    [
        ("m", None, "[a] rrr alice@example.com"),
        ("mine", None, "[a] [r] alice@example.com"),
        ("m", Principal("x", guardrails=("keys",)), "[a] rrr [email]"),
        ("mine", Principal("x", guardrails=("keys",)), "[a] [r] [email]"),
    ],
)
def test_those_of_all_of_the_route_and_of_the_key_hold(model: str, caller: Principal | None, expected: str) -> None:
    did: list[tuple[str, ...]] = []
    ask = asking(exchange(model, caller), f"aaa rrr {EMAIL}")
    guards(CONFIGURED, did).screen(ask)
    assert expected.encode() in ask.body
    work = ask.wanted.work
    assert isinstance(work, Chat)
    assert work.request.body == ask.body
    assert work.request.conversation().turns[0].parts[0].text == expected  # pyright: ignore[reportAttributeAccessIssue]
    assert ask.exchange.request_body == ask.body
    assert ("always", "request", "redacted") in did


def test_without_any_a_request_is_left_alone() -> None:
    ask = asking(exchange(), "aaa")
    guards({"keys": CONFIGURED["keys"]}, []).screen(ask)
    assert ask.watch is None
    assert ask.exchange.guarded == ""


def test_what_guardrails_ask_is_not_guarded() -> None:
    ask = asking(exchange(surface=GUARDRAIL), "aaa")
    guards(CONFIGURED, []).screen(ask)
    assert ask.watch is None


def test_one_that_is_not_configured_is_not_overlooked() -> None:
    ask = asking(exchange(caller=Principal("x", guardrails=("gone",))), "hello")
    for configured in (CONFIGURED, {}):
        with pytest.raises(Busy, match="'gone'"):
            guards(configured, []).screen(ask)


def test_nothing_of_what_was_refused_stays() -> None:
    ask = asking(exchange(caller=Principal("x", guardrails=("hard",))), "hhh")
    with pytest.raises(ContentFiltered, match="'hard'"):
        guards(CONFIGURED, []).screen(ask)
    assert (ask.exchange.tags, ask.exchange.user, ask.exchange.request_body) == (None, None, b"")


def test_answers_are_kept_apart_by_the_guardrails_they_have_passed() -> None:
    marks: set[str] = set()
    other = {**CONFIGURED, "keys": Guardrail(pattern=Pattern(find=("card",)))}
    for configured in (CONFIGURED, other):
        for caller in (None, Principal("x", guardrails=("keys",))):
            ask = asking(exchange(caller=caller), "hello")
            guards(configured, []).screen(ask)
            marks.add(ask.exchange.guarded)
    assert len(marks) == 3


def test_what_cannot_be_looked_through_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spots, "_MOST", 10)
    with pytest.raises(BadRequest, match="Send fewer at a time"):
        guards(CONFIGURED, []).screen(asking(exchange(), "hello"))


def test_what_cannot_be_looked_through_within_a_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spots, "_MOST", 40)
    nested = r"{\"\\u0061\":[" + "[]," * 40 + "[]]}"
    with pytest.raises(BadRequest, match="Send fewer at a time"):
        guards(CONFIGURED, []).screen(asking(exchange(), nested))


@pytest.mark.parametrize("text", ["aaa " * 9, '"},{"role":"user","content":"'.join(["aaa aaa"] * 4)])
def test_what_has_too_many_matches_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(patterns, "MOST", 8)
    guards(CONFIGURED, []).screen(asking(exchange(), text.replace("aaa", "bbb", 1)))
    monkeypatch.setattr(patterns, "MOST", 7)
    with pytest.raises(BadRequest, match="Send fewer at a time"):
        guards(CONFIGURED, []).screen(asking(exchange(), text))


def form(prompt: str, *, file: str) -> bytes:
    head = '--b\r\ncontent-disposition: form-data; name="{}"{}\r\n\r\n'
    fields = [("prompt", "", prompt), ("model", "", "m"), ("prompt", "", "aaa"), ("file", '; filename="a"', file)]
    return ("".join(head.format(name, more) + said + "\r\n" for name, more, said in fields) + "--b--\r\n").encode()


def test_the_fields_of_a_form_are_looked_through_and_its_files_are_not() -> None:
    surface: Surface = AUDIO_TRANSCRIPTIONS
    responses: Any = None
    kind = {b"content-type": b"multipart/form-data; boundary=b"}
    incoming = Incoming(form(f"aaa, {EMAIL}", file="aaa"), kind, exchange(), responses)
    ask = surface.understand(incoming)
    ask.reread = lambda body: surface.understand(replace(incoming, body=body))
    guards(CONFIGURED, []).screen(ask)
    assert ask.body == form(f"[a], {EMAIL}", file="aaa").replace(b"\r\n\r\naaa\r\n--b\r\n", b"\r\n\r\n[a]\r\n--b\r\n")
    work = ask.wanted.work
    assert isinstance(work, Passed)
    assert work.request.asking("m") == ask.body
