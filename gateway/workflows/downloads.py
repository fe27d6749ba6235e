"""The files of executions as their callers see them: listed, and read after their checksum was looked at.

Law: a file belongs to its execution, hence to the key that began that; to another key it is not there. What is sent is
what was written, or nothing: it is read once to see that, before the first byte goes out.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.errors import Gone, NotFound
from gateway.governance.keys import Principal
from gateway.store.engine import Database
from gateway.store.workflows import artifacts
from gateway.workflows.desk import Desk
from gateway.workflows.files import Files
from gateway.workflows.kept import Artifact

_log = logging.getLogger("steelyard.workflows")


class Downloads:
    """Lists and reads files."""

    def __init__(self, database: Database, desk: Desk, files: Files) -> None:
        """Of the executions of that desk, in that store."""
        self._database = database
        self._desk = desk
        self._files = files

    async def listed(self, execution_id: str, by: Principal, *, after: str | None, limit: int) -> list[Artifact]:
        """An execution's files in the order in which they were made, from behind that id on. Raises `NotFound`."""
        await self._desk.get(execution_id, by)
        return await artifacts.listed(self._database, execution_id, after=after, limit=limit)

    async def get(self, execution_id: str, artifact_id: str, by: Principal) -> Artifact:
        """What is known of a file. Raises `NotFound`."""
        await self._desk.get(execution_id, by)
        found = await artifacts.get(self._database, artifact_id)
        if found is None or found.execution_id != execution_id:
            raise NotFound(
                f"There is no artifact '{artifact_id:.80}' here. GET /api/executions/…/artifacts lists them."
            )
        return found

    async def check(self, artifact: Artifact) -> None:
        """Whether its bytes are there, and are those that were written. Raises `Gone`."""
        digest = hashlib.sha256()
        try:
            async with aclosing(self._files.read(artifact.path)) as pieces:
                async for piece in pieces:
                    digest.update(piece)
        except OSError as exc:
            _log.error("an artifact could not be read", extra={"path": artifact.path, "error": str(exc)})
            said = "The file is not there: it was deleted, or lies on a machine that shares no folder with this one."
            raise Gone(said, code="artifact_gone") from exc
        if digest.hexdigest() != artifact.sha256:
            _log.error("an artifact is not what was written", extra={"path": artifact.path})
            raise Gone("The file is not what was written: its checksum differs.", code="artifact_damaged")

    def pieces(self, artifact: Artifact, start: int, length: int) -> AsyncGenerator[bytes]:
        """So many of its bytes. Raises `OSError` when it goes meanwhile."""
        return self._files.read(artifact.path, start, length)
