"""A request to a server that is no model: within a workflow, and to hosts that the operator has named only.

Law: whoever may write a definition must not thereby reach what only the gateway can reach (a cloud's metadata, a
database's console). So hosts are named in the settings (`workflows.http_hosts`), and none is by default; a redirect is
an answer like any other, and is not followed.

A body that is text or JSON stands in the output. One that is neither, or is larger than what is read whole, goes to a
file as it comes in, and a reference to it stands there.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlencode, urlsplit

import msgspec

from gateway.workflows import labels
from gateway.workflows.archive import Archive
from gateway.workflows.bind import Scope
from gateway.workflows.kept import Failure
from gateway.workflows.running import Context, Result, StepFailed
from gateway.workflows.spec import Http, Json, keep_as
from providers.errors import Fault, Misconfigured
from providers.transport import Answer, Timeouts, Transport

#: Statuses that the same request may not meet again.
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Characters of a failed answer that are shown.
_SHOWN = 500
_PORTS = {"http": 80, "https": 443}
#: A name, an IPv4 or an IPv6 address.
_HOST = re.compile(r"[a-z0-9_.:-]+")
#: Headers that say to whom a request goes, and where it ends.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class Requests:
    """Sends requests."""

    def __init__(
        self, transport: Callable[[], Transport], hosts: Callable[[], Sequence[str]], archive: Archive
    ) -> None:
        """To these hosts: names, or patterns such as `*.example.org`; with a port where it is none of the scheme's.

        `archive` takes what is no text.
        """
        self._transport = transport
        self._hosts = hosts
        self._archive = archive

    async def __call__(self, context: Context, node: Http, known: Scope) -> Result:
        """Send it, and read the answer to its end. Raises `StepFailed`."""
        url = self._allowed(node)
        body = None if node.body is None else _encoded(node.body)
        for name in node.headers:
            if name.lower() in _OURS:
                raise _refused("invalid_header", f"The header '{name:.100}' follows from the URL and the body.")
        headers = {"idempotency-key": context.idempotency_key} | {
            name.lower(): _plain(value) for name, value in node.headers.items()
        }
        if body is not None and not isinstance(node.body, str):
            headers.setdefault("content-type", "application/json")
        seconds = node.timeout or Timeouts().total
        clocks = Timeouts(first_byte=seconds, idle=seconds, total=seconds)
        transport = self._transport()
        try:
            async with transport.open(node.method, url, headers, body, clocks, deadline=None) as answer:
                await _check(node, answer)
                return await self._result(context, node, answer, transport.max_body)
        except Fault as exc:
            final = isinstance(exc, Misconfigured)
            raise StepFailed(Failure(exc.kind, exc.message, status=exc.status), transient=not final) from exc

    async def _result(self, context: Context, node: Http, answer: Answer, most: int) -> Result:
        """With a body of at most `most` bytes in it, if it is text."""
        told = answer.headers.get("content-type", "")
        result = Result({"status": answer.status, "headers": dict(answer.headers), "body": ""})
        came = _Pieces(answer)
        readable = not told or labels.textual(told)
        await came.gather(most if readable else 0)
        if came.ended and readable and (told or _is_text(came.seen)):
            result.output["body"] = _decoded(bytes(came.seen), told)
        elif came.seen:
            wanted, kind = keep_as(node), labels.media_type(told)
            name = labels.name_of_url(node.url, kind, context.step.node_id)
            if wanted is not None:
                name, kind = labels.safe_name(wanted.name, name), wanted.media_type or kind
            made = await self._archive.write(context.step, name, kind, came.all())
            result.made.append(made)
            result.output["body"] = made.reference
        return result

    def _allowed(self, node: Http) -> str:
        try:
            parts = urlsplit(node.url)
            host, port = parts.hostname or "", parts.port
        except ValueError as exc:
            raise _refused("invalid_url", f"This is no URL: {exc}.") from exc
        if parts.scheme not in {"http", "https"} or not host:
            raise _refused("invalid_url", "A URL begins with http:// or https:// and names a host.")
        if "@" in parts.netloc:
            raise _refused("invalid_url", "Credentials belong into a header, not into the URL, which is logged.")
        if not _HOST.fullmatch(host):
            # What one reader takes for a name another may take for two.
            raise _refused("invalid_url", "Spell the host in ASCII letters; others as `xn--…`.")
        if port not in {None, _PORTS[parts.scheme]}:
            host += f":{port}"
        hosts = self._hosts()
        if not any(fnmatchcase(host.lower(), pattern.lower()) for pattern in hosts):
            named = ", ".join(hosts) or "none is"
            said = f"Workflows may not reach '{host:.100}'. Name it in workflows.http_hosts ({named} so far)."
            raise _refused("host_not_allowed", said)
        # Put together from what was read, so that nobody reads anything else.
        return parts._replace(query="&".join(filter(None, (parts.query, urlencode(node.query, doseq=True))))).geturl()


class _Pieces:
    """A body: what was gathered of it so far, and whether that was all."""

    def __init__(self, answer: Answer) -> None:
        self.seen = bytearray()
        self.ended = False
        self._answer = answer

    async def gather(self, most: int) -> None:
        """Until it has ended, or is more than that."""
        while not self.ended and len(self.seen) <= most:
            piece = await self._answer.more()
            self.seen += piece
            self.ended = not piece

    async def all(self) -> AsyncIterator[bytes]:
        """What was gathered, and then the rest."""
        yield bytes(self.seen)
        while not self.ended and (piece := await self._answer.more()):
            yield piece


async def _check(node: Http, answer: Answer) -> None:
    """Raises `StepFailed` when the status is none that the node takes."""
    status = answer.status
    if not (status in node.accept if node.accept else 200 <= status < 300):
        shown = (await answer.read())[:_SHOWN].decode(errors="replace")
        failure = Failure("http_error", f"The answer's status is {status}: {shown}", status=status)
        raise StepFailed(failure, transient=status in _TRANSIENT)


def _is_text(body: bytearray) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _refused(code: str, message: str) -> StepFailed:
    return StepFailed(Failure("invalid_request_error", message, code), transient=False)


def _plain(value: Json) -> str:
    """A header's value: what a template made that is no text, as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _encoded(body: Json) -> bytes:
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body)


def _decoded(body: bytes, content_type: str) -> Json:
    """JSON where it says so, and is; text otherwise."""
    if "json" in content_type.lower():
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # it says so and is not, or is nested beyond all reason: its text says what it is
    return body.decode(errors="replace")
