"""What the settings take of traces and logs, and what they refuse."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from gateway.settings import SecretUrl, Settings, SettingsError, load
from gateway.settings.telling import Tracing
from gateway.tracing.sending import address_of

KEY = {"OPENAI_API_KEY": "sk-0123456789abcdef0123456789"}
ADDRESS = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def problems(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load({**KEY, **environ})
    return str(caught.value)


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({}, False),
        (ADDRESS, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/v1/traces"}, True),
        ({"STEELYARD_TRACING": "true"}, True),
        ({**ADDRESS, "STEELYARD_TRACING": "false"}, False),
        ({**ADDRESS, "OTEL_SDK_DISABLED": "true"}, False),
        ({"STEELYARD_TRACING": "true", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_sent_when_there_is_an_address_or_somebody_says_so(environ: dict[str, str], used: bool) -> None:
    assert load(environ).tracing.used == used


def test_without_the_extra_the_start_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # What an import finds where the package is not there.
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    for environ in (ADDRESS, {"STEELYARD_TRACING": "true"}):
        told = problems(**environ)
        assert "pip install 'steelyard[otel]'" in told
        assert next(iter(environ)) in told
    assert load({**ADDRESS, "STEELYARD_TRACING": "false"}).tracing.used is False
    assert load({}) == Settings()


@pytest.mark.parametrize("url", ["http://collector:4317", "https://collector:4317/"])
def test_the_port_of_grpc_is_told(url: str) -> None:
    assert "4318" in problems(OTEL_EXPORTER_OTLP_ENDPOINT=url)


@pytest.mark.parametrize("headers", ["x-key", "=a", "a b=c", "x=%0d%0aevil: 1"])
def test_headers_that_are_none_are_refused_and_not_shown(headers: str) -> None:
    told = problems(OTEL_EXPORTER_OTLP_HEADERS=headers)
    assert "name=value" in told
    assert headers not in told


def test_headers_may_have_spaces_as_people_write_them_and_are_secret() -> None:
    tracing = load({"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer s3cret, x-scope=a%20b"}).tracing
    assert tracing.header_pairs == {"authorization": "Bearer s3cret", "x-scope": "a b"}
    assert "s3cret" not in repr(tracing)


def test_a_provider_that_is_told_must_be_there() -> None:
    assert "Did you mean 'openai'?" in problems(STEELYARD_TRACING_PROPAGATE="opnai")
    assert load({**KEY, "STEELYARD_TRACING_PROPAGATE": "openai, *"}).tracing.told == ["openai", "*"]


def test_resource_attributes_are_pairs() -> None:
    assert "name=value" in problems(OTEL_RESOURCE_ATTRIBUTES="prod")
    found = load({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,team=a%2Cb"}).tracing
    assert found.resource_pairs == {"deployment.environment.name": "prod", "team": "a,b"}


@pytest.mark.parametrize(
    ("wanted", "address"),
    [
        ({}, None),
        ({"endpoint": SecretUrl("http://c:4318")}, "http://c:4318/v1/traces"),
        ({"endpoint": SecretUrl("https://c/otlp/")}, "https://c/otlp/v1/traces"),
        ({"endpoint": SecretUrl("https://c/otlp?key=1")}, "https://c/otlp/v1/traces?key=1"),
        ({"endpoint": SecretUrl("http://c"), "traces_endpoint": SecretUrl("http://t/x")}, "http://t/x"),
    ],
)
def test_the_address_for_traces_is_the_specification_s(wanted: dict[str, Any], address: str | None) -> None:
    assert address_of(Tracing(**wanted)) == address
