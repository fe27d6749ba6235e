"""The MCP servers of `mcp_settings.json`, in the form that other MCP clients read, with our own keys beside theirs.

    {"mcpServers": {"name": {"command": "…", "args": […], "env": {…}} | {"url": "https://…", "headers": {…}}}}

Law: what the file says may be a secret anywhere (a token in `args`, a password in the URL), so it is kept hidden, and
what is shown of it is made here, from the file as it is written: `${VAR}` is shown so, never as what it stands for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import parse_qsl, urlsplit

from msgspec import UNSET, Meta, Struct

from gateway.settings.build import Builder, Where
from gateway.settings.names import suggestion
from gateway.settings.problems import Problem
from gateway.settings.secrets import MASK, Secret, SecretUrl, mask_url
from gateway.settings.sections import Seconds

#: The keys of the file's top. Others are refused, so that a misspelt one is no silent absence of servers.
_SERVERS = "mcpServers"
_ServerName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
_VariableName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
#: An option's name; a package with its scope, or a path from a root; a word.
_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z0-9_-]{0,40})(=.*)?", re.DOTALL)
_PLACE = re.compile(r"@[a-z0-9._-]+/[a-z0-9._-]+(@[a-z0-9.]+)?|\.{0,2}/[A-Za-z0-9_./-]+|\.")
_WORD = re.compile(r"[a-z]{1,20}(-[a-z]{1,20}){0,4}")
#: Options that take no value, or a module's name.
_VALUELESS = ("", "-y", "--yes", "-m", "--stdio")
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_SENSITIVE = re.compile(r"(?i)key|token|secret|passw|auth|cred|bearer|header|cookie")


class _Entry(Struct, frozen=True, kw_only=True):
    """A server as it is written."""

    type: Literal["stdio", "http", "streamable-http"] | None = None
    command: Annotated[str, Meta(min_length=1)] | None = None
    args: tuple[str, ...] = ()
    env: dict[_VariableName, str] = {}
    cwd: Path | None = None
    url: str | None = None
    headers: dict[_HeaderName, str] = {}
    private: bool = False
    disabled: bool = False
    allowed_keys: tuple[str, ...] | None = None
    allowed_tools: tuple[str, ...] | None = None
    timeout: Seconds = 60.0
    start_timeout: Seconds = 30.0


class McpServer(Struct, frozen=True, kw_only=True):
    """A server ready for use: a `command` to run, or a `url` to reach.

    Attributes:
        args_shown: the arguments as they may be seen.
        private: the name in its URL may lead to an address that is not public.
        allowed_keys: names of the keys that may use it; None: every key. The administrator always may.
        allowed_tools: the tools that are to be had of it; None: all.
        timeout: seconds for one call, unless it says otherwise.
        start_timeout: seconds until it has told its tools.
    """

    name: str
    command: str | None = None
    args: tuple[Secret, ...] = ()
    args_shown: tuple[str, ...] = ()
    env: dict[str, Secret] = {}
    cwd: Path | None = None
    url: SecretUrl | None = None
    headers: dict[str, Secret] = {}
    private: bool = False
    disabled: bool = False
    allowed_keys: tuple[str, ...] | None = None
    allowed_tools: tuple[str, ...] | None = None
    timeout: float = 60.0
    start_timeout: float = 30.0

    def secrets(self) -> Iterable[str]:
        """Every text of it that may be one, for what is told of failures and in the log."""
        yield from (one.reveal() for one in (*self.env.values(), *self.headers.values()))
        for arg, shown in zip(self.args, self.args_shown, strict=True):
            if MASK in shown or _REFERENCE.search(shown):
                yield arg.reveal().partition("=")[2] if arg.reveal().startswith("-") else arg.reveal()
        yield from self.certain_secrets()

    def certain_secrets(self) -> Iterable[str]:
        """Those that are secrets by their name, for what a tool answers: a mere setting may occur there."""
        for name, value in (*self.env.items(), *self.headers.items()):
            if _SENSITIVE.search(name):
                yield value.reveal()
                # `Bearer …`: the scheme is none.
                yield from value.reveal().split()[1:]
        if self.url is not None:
            parts = urlsplit(self.url.reveal())
            yield from (part for part in (parts.query, parts.password) if part)
            yield from (value for _, value in parse_qsl(parts.query))


def read_mcp(
    path: Path, look_up: Callable[[str], str | None], keys: Iterable[str]
) -> tuple[dict[str, McpServer], list[Problem]]:
    """The servers of a file by name, and all that is wrong with it.

    `look_up` finds the variables that `${NAME}` names; `keys` are the names that `allowed_keys` may hold.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except OSError as exc:
        return {}, [Problem(str(path), f"cannot be read: {exc.strerror}.")]
    except _Twice as twice:
        return {}, [Problem(str(path), f"the key '{twice}' is there twice. Merge the two.")]
    except json.JSONDecodeError as exc:
        return {}, [Problem(f"{path}:{exc.lineno}:{exc.colno}", f"this is not JSON: {exc.msg}.")]
    except (ValueError, RecursionError):
        return {}, [Problem(str(path), "is not JSON in UTF-8.")]
    reader = _Reader(path, look_up, frozenset(keys))
    return reader.servers(tree), reader.problems


class _Twice(Exception):
    """A key that is there twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in pairs:
        if key in tree:
            raise _Twice(key)
        tree[key] = value
    return tree


class _Reader:
    """Reads one file."""

    def __init__(self, path: Path, look_up: Callable[[str], str | None], keys: frozenset[str]) -> None:
        self.problems: list[Problem] = []
        self._path = path
        self._look_up = look_up
        self._keys = keys

    def servers(self, tree: Any) -> dict[str, McpServer]:
        if not isinstance(tree, dict) or not isinstance(cast("dict[str, Any]", tree).get(_SERVERS, {}), dict):
            self.problems.append(Problem(str(self._path), f'must be {{"{_SERVERS}": {{"name": {{…}}}}}}.'))
            return {}
        top = cast("dict[str, Any]", tree)
        for key in top:
            if key != _SERVERS:
                told = f"there is no such key. {suggestion(key, [_SERVERS])}"
                self.problems.append(Problem(f"{self._path}: {key}", told))
        found: dict[str, McpServer] = {}
        for name, raw in cast("dict[str, Any]", top.get(_SERVERS, {})).items():
            server = self._server(name, raw)
            if server is not None:
                found[name] = server
        return found

    def _server(self, name: str, raw: Any) -> McpServer | None:
        written: Mapping[str, Any] = cast("Mapping[str, Any]", raw) if isinstance(raw, Mapping) else {}
        # A server that is switched off may name what is not there yet.
        off = written.get("disabled") is True
        builder = Builder(str(self._path), (lambda one: self._look_up(one) or "unset") if off else self._look_up)
        where: Where = (_SERVERS, name)
        built = builder.build(dict[_ServerName, _Entry], {name: raw}, (_SERVERS,))
        entry: _Entry | None = None if built is UNSET else built.get(name)
        server = None
        if entry is not None and not builder.problems:
            self._check(entry, builder, where)
            server = _resolved(name, entry, written)
        self.problems += builder.problems
        return None if builder.problems else server

    def _check(self, entry: _Entry, builder: Builder, where: Where) -> None:
        if (entry.command is None) == (entry.url is None):
            builder.blame(where, "give exactly one of 'command' (a program to run) and 'url' (a server to reach).")
            return
        foreign = ("args", "env", "cwd") if entry.url is not None else ("headers", "private")
        for name in foreign:
            if getattr(entry, name):
                other = "'command'" if entry.url is not None else "'url'"
                builder.blame((*where, name), f"belongs to a server with {other}.")
        if entry.type is not None and (entry.type == "stdio") != (entry.command is not None):
            meant = "stdio" if entry.command is not None else "http"
            builder.blame(
                (*where, "type"), f"'{entry.type}' is not what the rest says; write '{meant}', or leave it out."
            )
        if entry.url is not None and not _is_url(entry.url):
            builder.blame((*where, "url"), f"{mask_url(entry.url)} is not valid: write http:// or https:// and a host.")
        for name, value in entry.headers.items():
            if not (value.isascii() and value.isprintable()):
                builder.blame((*where, "headers", name), "is not a header: printable ASCII on one line.")
        for index, key in enumerate(entry.allowed_keys or ()):
            if key not in self._keys:
                told = f"there is no key of the name '{key}'. {suggestion(key, sorted(self._keys))}"
                builder.blame((*where, "allowed_keys", index), told)


def _resolved(name: str, entry: _Entry, written: Mapping[str, Any]) -> McpServer:
    return McpServer(
        name=name,
        command=entry.command,
        args=tuple(map(Secret, entry.args)),
        args_shown=_shown(written.get("args") or ()),
        env={key: Secret(value) for key, value in entry.env.items()},
        cwd=entry.cwd,
        url=None if entry.url is None else SecretUrl(entry.url),
        headers={key: Secret(value) for key, value in entry.headers.items()},
        private=entry.private,
        disabled=entry.disabled,
        allowed_keys=entry.allowed_keys,
        allowed_tools=entry.allowed_tools,
        timeout=entry.timeout,
        start_timeout=entry.start_timeout,
    )


def _shown(args: Iterable[str]) -> tuple[str, ...]:
    """Arguments as they may be seen: what cannot be told apart from a secret is masked whole."""
    shown: list[str] = []
    before = ""
    for arg in args:
        option = _OPTION.fullmatch(arg)
        if option:
            shown.append(arg if option[2] is None else f"{option[1]}={_seen(option[2][1:], option[1])}")
        else:
            shown.append(_seen(arg, before))
        before = option[1] if option else ""
    return tuple(shown)


def _seen(value: str, option: str) -> str:
    """A value, where it is seen that it is none: `${VAR}`, a path or package, or a word that belongs to no option."""
    harmless = _PLACE.fullmatch(value) and not _SENSITIVE.search(option)
    word = _WORD.fullmatch(value) and option in _VALUELESS
    return value if harmless or word or _REFERENCE.fullmatch(value) else MASK


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
