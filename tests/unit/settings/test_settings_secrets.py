"""No secret in any message, listing or repr, whatever the secret is and wherever it stands."""

from __future__ import annotations

import pickle
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.settings import Secret, SecretUrl, SettingsError, load
from gateway.settings.load import load_with_origins
from gateway.settings.secrets import MASK, mask_url
from gateway.settings.showing import show_settings

#: Every character that a key or a careless password may have, between marks that occur in no message: hypothesis
#: also tries words it finds in the code, which messages are made of.
secrets = (
    st.text(string.ascii_letters + string.digits + "-_.~!+=/?#:@%$", min_size=8, max_size=60)
    .map(lambda text: f"q9{text}9q")
    .filter(lambda text: "${" not in text)
)
in_folder = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def everything_said(environ: dict[str, str], config: Path | None = None) -> str:
    """All that a person could get to see: the listing and reprs, or else the error."""
    try:
        loaded = load_with_origins(environ, config=config)
    except SettingsError as error:
        return f"{error}\n{error!r}\n{error.problems!r}"
    return f"{show_settings(loaded)}\n{loaded.settings!r}\n{loaded!r}"


@given(secret=secrets)
def test_a_secret_shows_only_its_mask(secret: str):
    hidden = Secret(secret)
    assert secret not in f"{hidden} {hidden!r} {hidden:>70} {hidden.hint()} {[hidden]}"
    assert hidden.reveal() == secret
    assert hidden == Secret(secret)
    assert hash(hidden) == hash(Secret(secret))
    assert hidden != secret


@given(secret=secrets)
def test_a_hint_never_gives_away_more_than_a_fifth(secret: str):
    shown = Secret(secret).hint().removeprefix(MASK)
    assert len(shown) * 5 <= len(secret)
    assert secret.endswith(shown)


@given(password=secrets, scheme=st.sampled_from(["redis", "postgresql+asyncpg", "https", "nonsense"]))
def test_a_password_in_a_url_is_never_shown(password: str, scheme: str):
    for url in (
        f"{scheme}://user:{password}@host:1/db",
        f"{scheme}://:{password}@host",
        f"{scheme}://host/db?password={password}",
    ):
        assert password not in mask_url(url)
        assert password not in f"{SecretUrl(url)} {SecretUrl(url)!r} {SecretUrl(url).hint()}"


def test_settings_travel_to_worker_processes_whole():
    loaded = load({"OPENAI_API_KEY": "sk-hunter2", "REDIS_URL": "redis://:hunter2@h"})
    there = pickle.loads(pickle.dumps(loaded))
    assert there == loaded
    assert there.providers["openai"].api_key.reveal() == "sk-hunter2"


def test_a_masked_url_still_says_where_it_leads():
    assert mask_url("postgresql+asyncpg://app:pw@db.example:5432/llm?ssl=1") == (
        f"postgresql+asyncpg://app:{MASK}@db.example:5432/llm?{MASK}"
    )
    assert mask_url("redis://:password") == f"redis://{MASK}"
    assert mask_url("user:password@host") == MASK


@in_folder
@given(secret=secrets)
def test_secrets_of_a_good_or_bad_environment_are_never_told(secret: str):
    for spoiled in ("", " with space"):
        environ = {
            "OPENAI_API_KEY": secret + spoiled,
            "STEELYARD_ADMIN_KEY": f"a{secret}{spoiled}",
            "SECRET_KEY": f"b{secret}{spoiled}",
            "STEELYARD_API_KEYS": f"web:{secret.replace(',', '')}x{spoiled}",
            "DATABASE_URL": f"postgresql+asyncpg://u:{secret}@h/db",
            "REDIS_URL": f"{'redis' if not spoiled else 'rdis'}://:{secret}@h:1/0",
        }
        assert secret not in everything_said(environ)


@in_folder
@given(secret=secrets)
def test_a_secret_drawn_into_the_file_is_hidden_even_where_it_does_not_belong(tmp_path: Path, secret: str):
    config = tmp_path / "steelyard.yaml"
    (tmp_path / "key").write_text(secret)
    config.write_text(
        f"""
server: {{port: '${{S}}', workers: '${{S}}'}}
log: {{level: '${{S}}'}}
keys: [{{name: a, key: 'file:{tmp_path / "key"}'}}]
providers:
  openai: {{api_key: '${{S}}', dialect: '${{S}}', base_url: 'https://h/', profile: {{headers: {{x: '${{S}}'}}}}}}
"""
    )
    assert secret not in everything_said({"S": secret}, config)


@in_folder
@given(secret=secrets)
def test_headers_are_not_listed(tmp_path: Path, secret: str):
    config = tmp_path / "steelyard.yaml"
    config.write_text("providers: {openai: {api_key: k, profile: {headers: {x-key: '${S}'}}}}")
    assert load({"S": secret}, config=config).providers["openai"].profile.headers == {"x-key": secret.strip()}
    assert secret not in everything_said({"S": secret}, config)


@pytest.mark.parametrize("before", ["*", "&", "!", "%", "@", "`", "'", '"', "{", "[", "- - ", "key: "])
def test_a_file_that_is_not_yaml_is_not_quoted(tmp_path: Path, before: str):
    config = tmp_path / "steelyard.yaml"
    config.write_text(f"auth:\n  admin_key: {before}hunter2hunter2\n  x\n")
    assert "hunter2" not in everything_said({}, config)


@pytest.mark.parametrize(
    "text", ["openai: sk-hunter2", "[sk-hunter2]", "{openai: [sk-hunter2]}", "{mine: {api_key: [sk-hunter2]}}"]
)
def test_a_key_in_the_wrong_place_of_the_tree_is_not_quoted(tmp_path: Path, text: str):
    config = tmp_path / "steelyard.yaml"
    config.write_text(f"providers: {text}\n" if text[0] in "[{" else f"providers:\n  {text}\n")
    assert "hunter2" not in everything_said({}, config)


def test_a_bad_line_of_dotenv_is_not_quoted(tmp_path: Path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("OPENAI_API_KEY hunter2\nOPENAI_API_KEY='hunter2\n")
    with pytest.raises(SettingsError) as caught:
        load({}, dotenv=dotenv)
    assert "hunter2" not in str(caught.value)
    assert len(caught.value.problems) == 2


def test_a_file_of_keys_is_not_taken_for_a_key_that_is_its_path(tmp_path: Path) -> None:
    file = tmp_path / "team_key"
    file.write_text("0123456789abcdef\n")
    with pytest.raises(SettingsError, match=r"'team:file:/path'"):
        load({"STEELYARD_API_KEYS": f"file:{file}"})
    assert [one.key.reveal() for one in load({"STEELYARD_API_KEYS": f"team:file:{file}"}).keys] == ["0123456789abcdef"]
