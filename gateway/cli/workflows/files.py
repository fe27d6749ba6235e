"""`steelyard workflows artifacts`: the files that an execution has made, listed and downloaded.

Law: what a gateway says is a name, and no place: files go into the folder that was named and nowhere else, none that is
there is written over, and one that does not come whole, as its checksum says, does not stay.
"""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.workflows.calling import Caller, Refused, connected, tell
from gateway.workflows.labels import safe_name


@click.command("artifacts")
@click.argument("execution_id")
@click.option(
    "--download",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Save them all into this folder, which is made if need be.",
)
@connected
def artifacts(execution_id: str, folder: Path | None, url: str, key: str | None, as_json: bool) -> None:
    """List the files that an execution has made, or save them."""
    caller, path = Caller(url, key), f"/api/executions/{quote(execution_id, safe='')}/artifacts"
    found = list(caller.pages(path, "artifacts"))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for one in found:
            saved = _saved(caller, f"{path}/{quote(one['artifact_id'], safe='')}/content", one, folder)
            if not as_json:
                click.echo(saved)
    if as_json:
        tell(found)
    elif folder is None:
        _show(found)


def _show(found: list[dict[str, Any]]) -> None:
    table = Table("artifact", "node", "attempt", "name", "type", "bytes")
    for one in found:
        node = one["node_id"] if one["item"] is None else f"{one['node_id']}[{one['item']}]"
        size = f"{one['size']:,}"
        columns = (one["artifact_id"], node, str(one["attempt"]), one["name"], one["media_type"], size)
        table.add_row(*map(Text, columns))
    Console().print(table)


def _saved(caller: Caller, path: str, told: Mapping[str, Any], folder: Path) -> Path:
    """Where the file is now. Raises `Refused`."""
    digest = hashlib.sha256()
    place, file = _opened(folder, safe_name(told["name"], "artifact"))
    try:
        with file:
            for piece in caller.pieces(path):
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != told["sha256"]:
            raise Refused(f"'{place.name}' did not come as it was sent: its checksum differs.")
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return place


def _opened(folder: Path, name: str) -> tuple[Path, BinaryIO]:
    """A new file of that name, or with a number when there is one."""
    for place in (folder / one for one in _numbered(name)):
        with suppress(FileExistsError):
            return place, place.open("xb")
    raise AssertionError("there is a name without end")


def _numbered(name: str) -> Iterator[str]:
    yield name
    stem, ending = Path(name).stem, Path(name).suffix
    for number in count(2):
        yield f"{stem}-{number}{ending}"
