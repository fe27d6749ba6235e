"""What steps leave as files: what a node is asked to keep, what is no text, and what is too large for a row.

    a node with `artifact`      what it comes to: its text, or its output as JSON, under that name
    a body that is no text      written by the `http` node itself as it comes in; its output refers to it
    an output over `inline`     as JSON; the step's row refers to it, and templates see it whole all the same

Law: files are written before their step succeeds, and their rows in the transaction of that success. A step that is
run again after a crash writes new ones, which alone have rows; what was left is swept (`keeper`). What is read back
is what was written, by its checksum, or is `Lost`: no step goes on with half an output.

A reference stands in the step's output; that it is one is kept beside it, in the step's `data`, as an output is
whatever a model or a server has said, a reference of somebody else's perhaps.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Busy, TooLarge
from gateway.workflows import labels
from gateway.workflows.files import Files
from gateway.workflows.kept import Artifact, Failure, Json, StepExecution
from gateway.workflows.running import Result, StepFailed
from gateway.workflows.spec import Http, KeepAs, Node, Prompt, Template, Tool, members

_log = logging.getLogger("steelyard.workflows")
#: Where a step's `data` tells of its files, and of the one that has its output.
_MADE, _WHOLE = "artifacts", "output_artifact"
#: Where a step that waits tells as what its output is to be kept.
KEEP = "artifact"
_TOO_LARGE, _NOT_WRITTEN = "artifact_too_large", "artifact_not_written"


class Lost(Exception):
    """The output of a step is in a file that is gone, or is not what was written."""

    def __init__(self, step: StepExecution, why: str) -> None:
        """Of this step."""
        super().__init__(why)
        again = f'POST /api/executions/{step.execution_id}/retry with "from_step": "{step.node_id}" makes it anew.'
        shared = "Processes that run executions need one folder for artifacts."
        said = f"The output of '{step.node_id}' cannot be read back: {why}. {shared} {again}"
        self.failure = Failure("api_error", said, "artifact_lost", node_id=step.node_id)


class Bounds(Struct, frozen=True):
    """Bytes: of an output that is kept in its row, and of a file."""

    inline: int
    most: int


class Archive:
    """Writes and reads the files of steps."""

    def __init__(self, files: Files, bounds: Bounds, *, wall: Callable[[], float], new_id: Callable[[], str]) -> None:
        """In this store; `new_id` names an artifact."""
        self._files = files
        self._bounds = bounds
        self._wall = wall
        self._new_id = new_id

    async def write(self, step: StepExecution, name: str, media_type: str, pieces: AsyncIterator[bytes]) -> Artifact:
        """A new file of that step, as it comes. Raises `StepFailed`, and whatever `pieces` raises."""
        identity = self._new_id()
        path = self._files.path(step.execution_id, identity)
        measured = _Measured(pieces, name, self._bounds.most)
        try:
            await self._files.write(path, measured.pieces())
        except OSError as exc:
            _log.error("an artifact could not be written", extra={"path": path, "error": str(exc)})
            # Why is told to the operator alone: it may name folders.
            raise _failed(_NOT_WRITTEN, f"The file '{name}' could not be written; the log says why.") from exc
        return Artifact(
            id=identity,
            execution_id=step.execution_id,
            node_id=step.node_id,
            name=name,
            media_type=media_type,
            size=measured.size,
            sha256=measured.digest.hexdigest(),
            path=path,
            created_at=self._wall(),
            item=step.item,
            attempt=step.attempt,
        )

    async def keep(self, step: StepExecution, node: Node, result: Result) -> None:
        """Write what the result is to leave. Raises `StepFailed`, with what the step has cost."""
        try:
            if result.keep is not None and not result.made:
                result.made.append(await self._named(step, node, result.keep, result.output))
            whole = _encoded(result.output)
            if len(whole) > self._bounds.inline:
                await self._spill(step, result, whole)
        except StepFailed as exc:
            raise StepFailed(exc.failure, transient=exc.transient, spent=result.spent) from exc
        except RecursionError as exc:
            failure = Failure("api_error", "What the step came to is nested too deeply to be kept.", "output_too_deep")
            raise StepFailed(failure, transient=False, spent=result.spent) from exc

    async def decided(self, step: StepExecution, output: Json) -> tuple[tuple[Artifact, ...], dict[str, Json]]:
        """The file of a decision on that step, if it is to have one, and what the step's data says of it then.

        Raises `Busy` when it cannot be written, `TooLarge`: the step waits on.
        """
        if KEEP not in step.data:
            return (), {}
        wanted = msgspec.convert(step.data[KEEP], KeepAs)
        name, said = labels.safe_name(wanted.name, step.node_id), labels.with_charset(wanted.media_type or labels.JSON)
        try:
            made = await self.write(step, name, said, _once(_encoded(output)))
        except StepFailed as exc:
            too_large = exc.failure.code == _TOO_LARGE
            raise (TooLarge if too_large else Busy)(exc.failure.message, code=exc.failure.code) from exc
        return (made,), {_MADE: [made.id]}

    async def restore(self, step: StepExecution, found: Artifact | None) -> None:
        """Have its whole output again; `found` is what is known of the file of it. Raises `Lost`."""
        if found is None or found.execution_id != step.execution_id:
            raise Lost(step, "nothing is known of its file")
        content = bytearray()
        try:
            async with aclosing(self._files.read(found.path)) as pieces:
                async for piece in pieces:
                    content += piece
        except OSError as exc:
            _log.error("an artifact could not be read", extra={"path": found.path, "error": str(exc)})
            raise Lost(step, f"its file, {found.id}, is not there") from exc
        if hashlib.sha256(content).hexdigest() != found.sha256:
            raise Lost(step, f"its file, {found.id}, is not what was written")
        try:
            step.output = json.loads(content)
        except RecursionError as exc:
            # Who wrote it stood less deep in the stack.
            raise Lost(step, f"its file, {found.id}, is nested too deeply") from exc

    async def _named(self, step: StepExecution, node: Node, wanted: KeepAs, output: Json) -> Artifact:
        content, media_type = _content(node, output)
        name = labels.safe_name(wanted.name, step.node_id)
        said = media_type if wanted.media_type is None else labels.with_charset(wanted.media_type)
        return await self.write(step, name, said, _once(content))

    async def _spill(self, step: StepExecution, result: Result, whole: bytes) -> None:
        name = f"{step.node_id}.output.json"
        try:
            made = await self.write(step, name, labels.JSON, _once(whole))
        except StepFailed as exc:
            if exc.failure.code != _NOT_WRITTEN:
                raise
            # A full disk is no reason to throw away what was paid for: the database has it then.
            return
        result.made.append(made)
        result.data[_WHOLE] = made.reference


def told(step: StepExecution, result: Result) -> None:
    """Say in the step's data which files its success has made, and no others."""
    step.data = {name: value for name, value in step.data.items() if name not in {_MADE, _WHOLE}} | result.data
    if result.made:
        step.data[_MADE] = [one.id for one in result.made]


def in_row(step: StepExecution) -> StepExecution:
    """The step as its row has it: with the reference for an output that is in a file."""
    return replace(step, output=step.data[_WHOLE]) if _WHOLE in step.data else step


def reference(step: StepExecution) -> str | None:
    """The id of the file that has the step's output, of a step as its row has it."""
    found = step.data.get(_WHOLE)
    return str(found["artifact_id"]) if found is not None and step.output == found else None


class _Measured:
    """Counts and digests pieces on their way. Raises `StepFailed` when they are too many."""

    def __init__(self, pieces: AsyncIterator[bytes], name: str, most: int) -> None:
        self.size, self.digest = 0, hashlib.sha256()
        self._pieces, self._name, self._most = pieces, name, most

    async def pieces(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            self.size += len(piece)
            if self.size > self._most:
                said = f"The file '{self._name}' is larger than {self._most:,} bytes (STEELYARD_ARTIFACTS_MAX)."
                raise _failed(_TOO_LARGE, said)
            self.digest.update(piece)
            yield piece


def _content(node: Node, output: Json) -> tuple[bytes, str]:
    """What a node's file holds: its text if that is what it is for, its answer's body, or else all of its output."""
    name = "body" if isinstance(node, Http) else "text" if _says_text(node) else None
    part: Any = output if name is None else (members(output) or {}).get(name, output)
    if isinstance(part, str):
        return part.encode(errors="replace"), labels.TEXT
    return _encoded(part), labels.JSON


def _says_text(node: Node) -> bool:
    match node:
        case Prompt():
            return node.output_schema is None
        case Template():
            return node.template is not None
        case _:
            return isinstance(node, Tool)


def _encoded(value: Json) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # Half of a surrogate pair, as some models' JSON has it, which UTF-8 cannot say but JSON can.
        return json.dumps(value).encode()


def _failed(code: str, message: str) -> StepFailed:
    return StepFailed(Failure("api_error", message, code), transient=False)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
