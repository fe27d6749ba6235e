"""Bodies that are passed on: a change of the model changes nothing else, in JSON and in forms."""

from __future__ import annotations

import json
from contextlib import suppress
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import Usage
from providers.dialect import InvalidRequest
from providers.dialects.openai.passed import glance, read_form, read_json
from providers.errors import Fault, Garbled

BOUNDARY = "--xYz"
KIND = f'multipart/form-data; charset=utf-8; boundary="{BOUNDARY}"'
names = st.sampled_from(["model", "stream", "prompt", "response_format", "language", "file"])
#: Bytes that look like the form's own, but hold no whole delimiter.
values = st.binary(max_size=12) | st.sampled_from([b"\r\n--", b"--", b"\r\n\r\n", b"\r\n----xY", b'name="model"'])
models = st.from_regex(r"[a-z0-9/.-]{1,12}", fullmatch=True)


def form(fields: dict[str, bytes], filed: bool) -> bytes:
    written = b""
    for name, value in fields.items():
        more = b'; filename="model"' if filed and name == "file" else b""
        written += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode() + more
        written += b"\r\nContent-Type: text/plain\r\n\r\n" + value + b"\r\n"
    return written + f"--{BOUNDARY}--\r\n".encode()


def fields_of(body: bytes) -> dict[str, bytes]:
    """As another reader sees the form."""
    whole = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {KIND}\r\n\r\n".encode() + body)
    found: dict[str, bytes] = {}
    for part in whole.iter_parts():
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(value, bytes)
        found[name] = value
    return found


@given(st.dictionaries(names, values, min_size=1), models, models)
def test_a_form_changes_in_its_model_alone(fields: dict[str, bytes], model: str, upstream: str) -> None:
    fields["model"] = model.encode()
    body = form(fields, filed=True)
    read = read_form(body, KIND)
    assert read.model == model
    assert read.asking(model) is body
    changed = read.asking(upstream)
    assert changed == form({**fields, "model": upstream.encode()}, filed=True)


@given(st.dictionaries(names.filter("model".__ne__), values, min_size=1), models)
def test_a_form_without_a_model_is_given_one(fields: dict[str, bytes], upstream: str) -> None:
    body = form(fields, filed=True)
    read = read_form(body, KIND)
    assert read.model is None
    changed = read.asking(upstream)
    assert changed.endswith(body)
    assert read_form(changed, KIND).model == upstream


@given(models, st.text("abc \n", min_size=1))
def test_another_reader_sees_the_same_form(upstream: str, words: str) -> None:
    body = form({"model": b"m", "prompt": b"p " + words.encode().replace(b"\n", b"\r\n") + b"."}, filed=False)
    before, after = fields_of(body), fields_of(read_form(body, KIND).asking(upstream))
    assert after == {**before, "model": upstream.encode()}


@given(st.binary(max_size=200), st.booleans())
def test_any_form_is_read_or_refused(noise: bytes, whole: bool) -> None:
    # Any other exception would be a defect, and fails the test.
    with suppress(InvalidRequest):
        read_form(form({"model": noise}, filed=False) + noise if whole else noise, KIND)


def test_a_file_is_never_taken_for_a_field() -> None:
    body = form({"file": b"wrong", "model": b"right"}, filed=True).replace(b'name="file"', b'name="model"')
    assert read_form(body, KIND).model == "right"


def test_a_form_of_too_many_parts_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="parts"):
        read_form(form({f"f{number}": b"" for number in range(300)}, filed=False), KIND)


@given(st.dictionaries(st.sampled_from(["input", "prompt", "n", "x"]), st.integers() | st.text(max_size=5)), models)
def test_json_changes_in_its_model_alone(fields: dict[str, object], upstream: str) -> None:
    body = json.dumps({"model": "m", **fields, "user": "u"}).encode()
    read = read_json(body)
    assert (read.model, read.user, read.stream) == ("m", "u", False)
    assert read.asking("m") is body
    assert json.loads(read.asking(upstream)) == {**json.loads(body), "model": upstream}


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({}, Usage()),
        ({"usage": None}, Usage()),
        ({"usage": {"type": "duration", "seconds": 3}}, Usage()),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, Usage(3, 4)),
        ({"usage": {"prompt_tokens": 3}}, Usage(3)),
    ],
    ids=str,
)
def test_tokens_are_read_where_they_are_told(answer: object, usage: Usage) -> None:
    assert glance(json.dumps(answer).encode()) == usage


@pytest.mark.parametrize("answer", [b"", b"[]", b"<html>", b'{"usage":{"input_tokens":-1}}'])
def test_what_is_no_answer_is_garbled(answer: bytes) -> None:
    with pytest.raises(Garbled):
        glance(answer)


def test_an_error_in_the_place_of_an_answer_is_one() -> None:
    with pytest.raises(Fault):
        glance(b'{"error":{"message":"no","type":"server_error"}}')
