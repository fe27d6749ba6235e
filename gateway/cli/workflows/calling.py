"""Calls of a running gateway, for commands: by the standard library, which is there without the gateway's own parts.

What the gateway refuses is told as it tells it, with every problem and its path, and ends the command with 1.
"""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import rich_click as click
from msgspec import Struct

_F = TypeVar("_F", bound=Callable[..., Any])
#: Seconds for an answer. Of a stream, events or comments come four times a minute: one that is silent longer is dead.
_PATIENCE = 60.0
#: Seconds between two tries to go on with a stream that broke, and how often that may fail in a row.
_AGAIN, _TRIES = 1.0, 30
#: Bytes of a file that are held at a time.
_PIECE = 256 * 1024


class Refused(click.ClickException):
    """The gateway says no, with a status, or is not there."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """Say so."""
        super().__init__(message)
        self.status = status


class Caller(Struct, frozen=True):
    """A gateway and who asks it."""

    url: str
    key: str | None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer; None of an empty one. Raises `Refused`."""
        with self._answer(method, path, body) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def pages(self, path: str, items: str, **query: str | None) -> Iterator[Any]:
        """All items of a listing, page by page. Raises `Refused`."""
        known = {name: value for name, value in query.items() if value is not None}
        while True:
            page = self.ask("GET", f"{path}?{urlencode({**known, 'limit': 100})}")
            yield from page[items]
            following = next(name for name in page if name.startswith("next_"))
            if page[following] is None:
                return
            known[following.removeprefix("next_")] = page[following]

    def pieces(self, path: str) -> Iterator[bytes]:
        """The bytes of an answer as they come. Raises `Refused`."""
        try:
            with self._answer("GET", path, None) as answer:
                while piece := answer.read(_PIECE):
                    yield piece
        except (OSError, HTTPException) as exc:
            raise Refused(f"The connection to {self.url} is lost: {exc}.") from exc

    def events(self, path: str) -> Iterator[Any]:
        """The events of an execution until it has ended, over however many connections. Raises `Refused`."""
        seen, tries = 0, 0
        while True:
            wanted = {"accept": "text/event-stream", "last-event-id": str(seen)}
            try:
                with self._answer("GET", path, None, wanted) as answer:
                    for event in _events(answer):
                        seen, tries = event["seq"], 0
                        yield event
                return
            except (OSError, HTTPException) as exc:
                tries += 1
                if tries > _TRIES:
                    raise Refused(f"The connection to {self.url} is lost: {exc}.") from exc
                time.sleep(_AGAIN)

    def connection(self, patience: float) -> tuple[HTTPConnection, str]:
        """A connection, and what stands before each path; `patience`: seconds for whatever it waits for."""
        where = urlsplit(self.url)
        make = HTTPSConnection if where.scheme == "https" else HTTPConnection
        return make(where.hostname or "", where.port, timeout=patience), where.path.rstrip("/")

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> Generator[HTTPResponse]:
        connection, prefix = self.connection(_PATIENCE)
        sent = {"accept": "application/json", **(headers or {})}
        if self.key:
            sent["authorization"] = f"Bearer {self.key}"
        data = None
        if body is not None:
            data, sent["content-type"] = json.dumps(body).encode(), "application/json"
        try:
            try:
                connection.request(method, prefix + path, data, sent)
                answer = connection.getresponse()
            except (OSError, HTTPException) as exc:
                if headers is not None:
                    raise  # a stream that can be gone on with
                raise Refused(f"No gateway answers at {self.url}: {exc}. Name it with --url or STEELYARD_URL.") from exc
            if answer.status >= 300:
                raise Refused(_told(answer), answer.status)
            yield answer
        finally:
            connection.close()


def connected(command: _F) -> _F:
    """Options of whatever asks a gateway: `url`, `key` and `as_json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API answers."),
        click.option("--key", envvar="STEELYARD_KEY", help="A key of the gateway's. [STEELYARD_KEY]"),
        click.option(
            "--url",
            envvar="STEELYARD_URL",
            default="http://127.0.0.1:8000",
            callback=_address,
            help="Where the gateway is. [STEELYARD_URL, http://127.0.0.1:8000]",
        ),
    ):
        command = option(command)
    return command


def tell(value: Any) -> None:
    """Print JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        where = urlsplit(value)
        fine = where.scheme in {"http", "https"} and where.hostname and where.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise click.BadParameter(f"'{value}' is no address such as http://127.0.0.1:8000.")
    return value


def _told(answer: HTTPResponse) -> str:
    text = answer.read()
    try:
        error = json.loads(text)["error"]
        problems = [f"{one['path']}: {one['message']}" for one in error.get("problems") or ()]
        said = str(error["message"])
        # Which tells the first of them once more.
        lines = [said.partition(f" {problems[0]}")[0] if problems else said, *(f"  {one}" for one in problems)]
    except (ValueError, KeyError, TypeError):
        return f"The gateway answered with {answer.status}: {text[:200].decode(errors='replace')}"
    if answer.status == 401:
        lines.append("Give a key by --key or STEELYARD_KEY.")
    return "\n".join(lines)


def _events(answer: HTTPResponse) -> Iterator[Any]:
    for line in answer:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])
