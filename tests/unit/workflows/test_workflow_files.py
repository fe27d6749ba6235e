"""The folder of artifacts: whole files or none, under paths that lead nowhere else."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from gateway.workflows.files import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data" / "artifacts", "db")


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for one in content:
        yield one


async def breaking(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise RuntimeError("the line is dead")


async def content(folder: Folder, path: str, start: int = 0, length: int | None = None) -> bytes:
    async with aclosing(folder.read(path, start, length)) as found:
        return b"".join([piece async for piece in found])


async def everything_old(folder: Folder, before: float = 2e10) -> list[str]:
    return [path async for paths in folder.old(before) for path in paths]


def lying(tmp_path: Path) -> list[Path]:
    return sorted(path for path in tmp_path.rglob("*") if path.is_file())


async def test_what_is_written_is_read_again_also_in_part(folder: Folder) -> None:
    path = folder.path("wfexec_1", "artifact_1")
    large = os.urandom(700_001)
    await folder.write(path, pieces(large[:5], large[5:500_000], large[500_000:]))
    assert await content(folder, path) == large
    assert await content(folder, path, 699_000, 5_000) == large[699_000:]
    assert await content(folder, path, 10, 300_000) == large[10:300_010]


async def test_only_its_owner_can_read_a_file(folder: Folder, tmp_path: Path) -> None:
    await folder.write(folder.path("e", "a"), pieces(b"secret"))
    (file,) = lying(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_a_file_that_is_cut_off_is_not_there(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        await folder.write(folder.path("e", "a"), breaking(b"half"))
    assert lying(tmp_path) == []


async def test_a_writer_that_is_cancelled_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"half"
        begun.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(folder.write(folder.path("e", "a"), slowly()))
    await begun.wait()
    assert [file.suffix for file in lying(tmp_path)] == [".part"]
    with pytest.raises(FileNotFoundError):
        await content(folder, folder.path("e", "a"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lying(tmp_path) == []


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "db/../x",
        "db/e/../../../x",
        "/etc/passwd",
        "db/e/a/b",
        "db/e",
        "db/e/a\n",
        "db/e/a\0",
        "db/e/.",
        "db//a",
        "db/e/a.txt",
        "db\\e\\a",
        "db/é/a",
        "",
    ],
)
async def test_no_path_leads_out_of_the_folder(folder: Folder, tmp_path: Path, path: str) -> None:
    with pytest.raises(OSError, match="no path"):
        await folder.write(path, pieces(b"x"))
    with pytest.raises(OSError, match="no path"):
        await content(folder, path)
    with pytest.raises(OSError, match="no path"):
        await folder.delete(path)
    assert lying(tmp_path) == []


async def test_a_link_in_the_place_of_a_file_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("no artifact")
    place = tmp_path / "data" / "artifacts" / folder.path("e", "a")
    place.parent.mkdir(parents=True)
    place.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        await content(folder, folder.path("e", "a"))


async def test_the_last_file_takes_its_folder_along(folder: Folder, tmp_path: Path) -> None:
    for name in ("a", "b"):
        await folder.write(folder.path("e", name), pieces(b"x"))
    await folder.delete(folder.path("e", "a"))
    assert [file.name for file in lying(tmp_path)] == ["b"]
    await folder.delete(folder.path("e", "b"))
    await folder.delete(folder.path("e", "b"))  # who comes later finds nothing to do
    assert list((tmp_path / "data" / "artifacts" / "db").iterdir()) == []


async def test_writers_do_not_mind_that_folders_go_under_their_hands(folder: Folder) -> None:
    """Many come and go in one execution; whoever is last in it removes its folder."""

    async def come_and_go(number: int) -> None:
        for round_ in range(20):
            path = folder.path("e", f"a{number}_{round_}")
            await folder.write(path, pieces(b"x"))
            await folder.delete(path)

    await asyncio.gather(*(come_and_go(number) for number in range(4)))
    assert await everything_old(folder) == []


async def test_a_folder_that_goes_right_after_it_was_found_is_made_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def make(path: str | Path, mode: int = 0o777) -> None:
        if Path(path).name == "e" and not found:
            found.append(str(path))
            raise FileExistsError(path)
        mkdir(path, mode)

    mkdir = os.mkdir
    monkeypatch.setattr(os, "mkdir", make)
    path = folder.path("e", "a")
    await folder.write(path, pieces(b"x"))
    assert found
    assert await content(folder, path) == b"x"


async def test_where_a_file_is_in_its_place_that_is_said(folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "data" / "artifacts" / "db"
    place.mkdir(parents=True)
    (place / "e").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        await folder.write(folder.path("e", "a"), pieces(b"x"))


async def test_what_is_old_is_told_half_files_too_and_nobody_elses(folder: Folder, tmp_path: Path) -> None:
    assert await everything_old(folder) == []
    root = tmp_path / "data" / "artifacts"
    others = Folder(root, "other")
    await others.write(others.path("e", "theirs"), pieces(b"x"))
    for execution, name in (("e1", "a"), ("e1", "b"), ("e2", "c")):
        await folder.write(folder.path(execution, name), pieces(b"x"))
    half = root / "db" / "e2" / "d.part"
    half.write_bytes(b"x")
    (root / "db" / "e2" / "a note.txt").write_text("no artifact")
    for file in (root / "db" / "e1" / "a", half):
        os.utime(file, (1_000, 1_000))
    assert await everything_old(folder, 2_000) == ["db/e1/a", "db/e2/d.part"]
    assert sorted(await everything_old(folder)) == ["db/e1/a", "db/e1/b", "db/e2/c", "db/e2/d.part"]
    await folder.delete("db/e2/d.part")
    assert not half.exists()


async def test_many_old_files_are_told_some_at_a_time(folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "data" / "artifacts" / "db" / "e"
    place.mkdir(parents=True)
    for number in range(1_001):
        (place / f"a{number}").touch()
    await folder.write(folder.path("another", "b"), pieces(b"x"))
    told = [paths async for paths in folder.old(2e10)]
    assert [len(paths) for paths in told] == [500, 500, 2]
    assert len({path for paths in told for path in paths}) == 1_002
