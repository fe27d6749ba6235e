"""Every snippet of `docs/`, run against a running gateway, loaded or read: what a page shows is what a stranger gets.

A page's shell blocks are one script, in their order, so that a variable of one is there in the next. Commands of
`steelyard` that only ask, and `curl`, are run; commands that stay, or change the machine, are parsed by the command
line that would run them, options and all; verbs of `make` must be there. A page that shows a key meets a gateway that
asks for one.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.settings import Settings, load
from tests import forking
from tests.acceptance.driving import ADMIN_KEY, OPENAI, World, with_keys, world_in
from tests.acceptance.pages import FOLLOWED, ROOT, RUN, SHOWN, Fence, every, fences, pages
from tests.serving import with_worker

#: What pages call the gateway; a stranger's is on port 8000.
ADDRESS = re.compile(r"(?<![\w.])(localhost|127\.0\.0\.1):8000(?!\d)")
#: Variables that pages name without saying what is in them.
KEYS = {
    **dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "k" * 20),
    **{name: name.lower() * 8 for name in ("TEAM_KEY", "BATCH_KEY", "WEB_KEY", "SUPPORT_KEY", "SECRET_KEY")},
    "STEELYARD_ADMIN_KEY": ADMIN_KEY,
}
#: Of programs that change a machine it is looked at whether what they name is there.
PRELUDE = """\
set -euo pipefail
make() {
  for word in "$@"; do case "$word" in
    *=*|-*) ;;
    *) grep -q "^$word:" "$ROOT/Makefile" || return 1;;
  esac; done
}
pip() {
  for word in "$@"; do case "$word" in
    *.lock|*.txt|./*) test -e "$ROOT/$word" || return 1;;
  esac; done
}
"""
#: Variables that a shell sets by itself.
SHELLS = {"PATH", "PWD", "OLDPWD", "SHLVL", "_", "ROOT"}
SCRIPTS = sorted({one.page for one in every("sh", "bash")})


def script_of(page: str) -> str:
    """All that a page has a reader type."""
    return "\n".join(one.text for one in every("sh", "bash") if one.page == page)


def with_known(settings: Settings) -> Settings:
    """One of the simulated models under a name that pages use."""
    provider = settings.providers[OPENAI.partition("/")[0]]
    chat = next(one for one in provider.models if one.name == OPENAI.partition("/")[2])
    known = replace(provider, models=(*provider.models, replace(chat, name="gpt-4o-mini")))
    return replace(settings, providers={**settings.providers, provider.name: known})


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, World]]:
    """A gateway that asks nobody for a key, and one that does."""
    with ExitStack() as stack:
        made = {
            False: stack.enter_context(world_in(tmp_path_factory.mktemp("open"), with_worker)),
            True: stack.enter_context(world_in(tmp_path_factory.mktemp("keyed"), with_keys, with_known)),
        }
        for world in made.values():
            assert world.chat("Something to tell of.", key=ADMIN_KEY).status == 200
        yield made


@pytest.fixture
def bin_(tmp_path: Path) -> Iterator[Path]:
    """The programs that a reader has: ours and `curl`, which a machine may lack; `python` is the one that runs this."""
    made = tmp_path / "bin"
    made.mkdir()
    python, beside = f'"{sys.executable}"', Path(__file__).parent
    programs = {
        "python": python,
        "curl": f'{python} "{beside}/as_curl.py"',
        "steelyard": f'{python} -I "{beside}/as_asked.py" "{made}/asked"',
    }
    for name, command in programs.items():
        (made / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (made / name).chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{made}/asked")
        listening.listen()
        threading.Thread(target=answer, args=(listening,), daemon=True).start()
        yield made
        listening.shutdown(socket.SHUT_RDWR)


def answer(listening: socket.socket) -> None:
    """Run what is asked for, one after another, until nobody listens."""
    while True:
        try:
            line, _ = listening.accept()
        except OSError:
            return
        with line:
            asked = json.loads(b"".join(iter(lambda line=line: line.recv(65536), b"")))
            program = str(Path(__file__).with_name("as_steelyard.py"))
            # Without the shell's own, which differ from those with which the one that is forked was loaded.
            told = {name: value for name, value in asked["environ"].items() if name not in SHELLS}
            environ = {**told, **forking.environ()}
            done = forking.run([sys.executable, program, *asked["words"]], cwd=Path(asked["cwd"]), environ=environ)
            line.sendall(json.dumps({"code": done.returncode, "out": done.stdout, "err": done.stderr}).encode())


@pytest.mark.parametrize("page", SCRIPTS)
def test_the_commands_of_a_page_work(page: str, worlds: dict[bool, World], bin_: Path, tmp_path: Path) -> None:
    script = script_of(page)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    world = worlds["Authorization:" in script]
    environ = {
        **forking.environ(),
        **KEYS,
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "ROOT": str(ROOT),
        "STEELYARD_URL": world.url,
        "STEELYARD_KEY": ADMIN_KEY,
        "KEY": ADMIN_KEY,
        "DATABASE_URL": world.serving.settings.database.url.reveal(),
    }
    done = subprocess.run(
        ["bash", "-x", "-c", PRELUDE + ADDRESS.sub(f"127.0.0.1:{world.serving.port}", script)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("fence", every("python"), ids=str)
def test_a_python_snippet_of_a_page_runs(
    fence: Fence, worlds: dict[bool, World], capsys: pytest.CaptureFixture[str]
) -> None:
    # In this process: each of the SDKs takes a second to load, and they are loaded once here.
    code = ADDRESS.sub(f"127.0.0.1:{worlds[False].serving.port}", fence.text)
    exec(compile(code, str(fence), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("fence", every("yaml"), ids=str)
def test_a_configuration_of_a_page_loads(fence: Fence, tmp_path: Path) -> None:
    config = tmp_path / "steelyard.yaml"
    config.write_text(fence.text)
    assert load(KEYS, config=config)


@pytest.mark.parametrize("fence", every("json", "toml"), ids=str)
def test_data_of_a_page_can_be_read(fence: Fence) -> None:
    assert tomllib.loads(fence.text) if fence.language == "toml" else json.loads(fence.text)


@pytest.mark.parametrize("page", pages())
def test_every_fence_is_run_or_says_why_not(page: str) -> None:
    for one in fences(page):
        assert one.language in (*RUN, *SHOWN), f"{one}: no test knows what to do with {one.language}"
    # A fence that the expression does not see would not be looked at at all.
    text = (ROOT / page).read_text()
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(list(fences(page)))


def test_pages_that_are_followed_are_followed() -> None:
    for page, test in FOLLOWED.items():
        assert Path(page).name in (Path(__file__).parent / test).read_text()
