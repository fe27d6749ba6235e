"""The settings: whether they load, what in them does nothing, and how good the keys are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from math import log2
from pathlib import Path

from gateway.doctor.finding import Finding, ok, problem, warning
from gateway.settings.build import Where, dotted
from gateway.settings.load import DEFAULT_DOTENV, Loaded
from gateway.settings.problems import SettingsError
from gateway.settings.routes import is_loopback
from gateway.settings.tree import Settings

_HERE = "configuration"
#: Bits below which a key can be guessed by who may try long enough; sixteen random hex digits have 64.
_BITS = 60.0
#: Bits of others' read permission.
_OTHERS = 0o044
_ALPHABETS = tuple(map(frozenset, ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "-_+/=.")))
#: Of keys that people make up, or leave as an example had them.
_WORDS = ("secret", "password", "change", "admin", "steelyard", "example", "12345", "qwert", "test", "master")
_POOL = ("pool_size", "max_overflow", "pool_timeout", "pool_recycle")


def unloaded(error: SettingsError) -> list[Finding]:
    """The settings cannot be used: each problem of theirs."""
    return [
        problem(_HERE, f"{one.place}: {one.message}", "Mend it there; `steelyard config check` tells the rest.")
        for one in error.problems
    ]


def look(loaded: Loaded) -> list[Finding]:
    """What is odd in settings that are valid."""
    settings = loaded.settings
    where = f"from {loaded.config}" if loaded.config else "from the environment"
    models = sum(len(one.models) for one in settings.providers.values())
    found = [ok(_HERE, f"valid, {where}: {len(settings.providers)} providers, {models} models")]
    found += [
        warning(_HERE, f"{path} is set and does nothing: {why}", f"Remove it ({loaded.origin(where)}), or {instead}.")
        for where, path, why, instead in _dead(loaded)
    ]
    found += _risks(settings)
    return found + list(_readable(loaded.config))


def _dead(loaded: Loaded) -> Iterator[tuple[Where, str, str, str]]:
    """Settings that somebody has written and that nothing reads, as another is not set: path, why, and what else."""
    settings = loaded.settings
    redis, cache, judge = settings.redis.url is not None, settings.cache.enabled, settings.judge.model is not None
    sqlite = settings.database.url.reveal().startswith("sqlite")
    hosts = bool(settings.workflows.hosts)
    cases: list[tuple[bool, str, tuple[str, ...], str, str]] = [
        (sqlite, "database", _POOL, "the database is SQLite", "set DATABASE_URL to a PostgreSQL"),
        (not redis, "redis", ("db", "max_connections"), "there is no REDIS_URL", "set it"),
        (redis, "cache", ("memory",), "answers are kept in Redis", "unset REDIS_URL"),
        (not cache, "cache", ("ttl", "native", "drop_in", "memory"), "the cache is off", "turn it on"),
        (not judge, "judge", ("sample", "budget_usd"), "no model grades", "name one: judge.model"),
        (not hosts, "workflows", ("http_networks",), "no host may be reached", "name them: workflows.http_hosts"),
        (not settings.tls.verify, "tls", ("ca_file",), "certificates are not checked", "check them: tls.verify"),
    ]
    for holds, section, names, why, instead in cases:
        for name in names if holds else ():
            if loaded.origin((section, name)) is not None:
                yield (section, name), dotted((section, name)), why, instead


def _risks(settings: Settings) -> Iterator[Finding]:
    if not settings.providers:
        yield warning(_HERE, "no provider: the simulator would answer", "Set OPENAI_API_KEY or another provider's key.")
    if settings.server.debug:
        yield warning(_HERE, "DEBUG shows callers what failed inside", "Unset it in production.")
    if not settings.tls.verify:
        yield problem(
            _HERE,
            "STEELYARD_TLS_VERIFY=false trusts anybody to be a provider",
            "Unset it, and name your authority by STEELYARD_CA_FILE.",
        )


def _readable(config: Path | None) -> Iterator[Finding]:
    for path in (DEFAULT_DOTENV, config):
        if path is not None and path.is_file() and path.stat().st_mode & _OTHERS:
            yield warning(_HERE, f"others on this machine can read {path}, which may hold keys", f"chmod 600 {path}")


def keys(settings: Settings) -> list[Finding]:
    """Who may do what, and how good the keys are."""
    wide = not is_loopback(settings.server.host)
    found: list[Finding] = []
    if settings.auth.admin_key is None:
        advice = "Set STEELYARD_ADMIN_KEY, as of: openssl rand -hex 32"
        if settings.keys or settings.jwt.used:
            found.append(warning("keys", "there is no admin key: nobody may administer", advice))
        elif wide:
            found.append(problem("keys", "whoever reaches this gateway may use and administer it", advice))
        else:
            found.append(warning("keys", "everybody on this machine may use and administer it", advice))
    elif settings.anonymous and wide:
        found.append(warning("keys", "whoever reaches this gateway may use it", "Unset STEELYARD_ALLOW_ANONYMOUS."))
    named = [(f"the key '{one.name}'", one.key.reveal()) for one in settings.keys]
    named += [
        (name, key.reveal())
        for name, key in (("the admin key", settings.auth.admin_key), ("SECRET_KEY", settings.auth.secret_key))
        if key
    ]
    weak = [name for name, text in named if strength(text) < _BITS]
    found += [
        problem("keys", f"{name} is easily guessed", "Make another, as of: openssl rand -hex 32") for name in weak
    ]
    if named and not weak:
        found.append(ok("keys", f"{len(named)} in the settings, none easily guessed"))
    if settings.redis.url is not None and settings.auth.secret_key is None:
        found.append(
            warning(
                "keys",
                "SECRET_KEY is not set, and keys by the API are known by what the database holds",
                "Set SECRET_KEY, the same on every replica, before such keys are made.",
            )
        )
    return found


def strength(text: str) -> float:
    """Bits of a key, at most: its length, each letter worth what its variety says."""
    letters = set(text)
    hexadecimal = letters <= set("0123456789abcdef-")
    variety = 16 if hexadecimal else sum(len(one) for one in _ALPHABETS if letters & one)
    # Words are worth less than their letters; and what comes again tells little, be it a letter or more: what it can be
    # packed into is what it is worth, less the eight bytes that zlib puts around.
    worth = 0.5 if any(word in text.casefold() for word in _WORDS) else 1.0
    packed = len(zlib.compress(text.encode())) - 8
    return min(len(text), packed, 2.5 * len(letters)) * log2(max(2, variety)) * worth
