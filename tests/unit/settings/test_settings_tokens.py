"""Tokens' settings: off by default, and what would let strangers in is told at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import SettingsError, load

SECRET = "0123456789abcdef0123456789abcdef"
ADDRESS = "https://issuer.example/keys"


def test_by_default_no_tokens_are_taken() -> None:
    assert not load({}).jwt.used


def test_tokens_alone_close_the_gateway_and_let_it_listen_to_others() -> None:
    settings = load({"STEELYARD_JWT_SECRET": SECRET, "STEELYARD_HOST": "0.0.0.0"})
    assert not settings.anonymous
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("address", [ADDRESS, "http://127.0.0.1:8080/keys", "http://localhost/keys"])
def test_published_keys_are_at_an_address(address: str) -> None:
    assert load({"STEELYARD_JWT_JWKS": address, "STEELYARD_JWT_AUDIENCE": "us"}).jwt.jwks == address


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"STEELYARD_JWT_SECRET": "short"}, "shorter than 32 characters"),
        ({"STEELYARD_JWT_JWKS": ADDRESS}, "jwt.audience"),
        ({"STEELYARD_JWT_JWKS": ADDRESS, "STEELYARD_JWT_AUDIENCE": " , "}, "whoever publishes keys"),
        ({"STEELYARD_JWT_JWKS": "http://issuer.example/keys", "STEELYARD_JWT_AUDIENCE": "us"}, "https://"),
        ({"STEELYARD_JWT_JWKS": "ftp://issuer.example/keys", "STEELYARD_JWT_AUDIENCE": "us"}, "https://"),
        ({"STEELYARD_JWT_JWKS": "https://me:pw@issuer.example", "STEELYARD_JWT_AUDIENCE": "us"}, "no user"),
        ({"STEELYARD_JWT_JWKS": "https://[::1", "STEELYARD_JWT_AUDIENCE": "us"}, "is not a URL"),
        ({"STEELYARD_JWT_JWKS": "/nowhere/keys.json", "STEELYARD_JWT_AUDIENCE": "us"}, "cannot be read"),
        ({"STEELYARD_WRONG_KEYS": "-1"}, "0 or more"),
    ],
)
def test_what_cannot_be_is_told(environ: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert told in str(caught.value)
    assert "pw@" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 7}'])
def test_a_file_of_keys_is_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match="keys"):
        load({"STEELYARD_JWT_JWKS": str(path), "STEELYARD_JWT_AUDIENCE": "us"})


def test_no_key_is_named_like_the_caller_of_a_token(tmp_path: Path) -> None:
    path = tmp_path / "steelyard.yaml"
    path.write_text("keys: [{name: 'jwt:ann', key: 0123456789abcdef}]\n")
    with pytest.raises(SettingsError, match="only callers with tokens"):
        load({}, config=path)
