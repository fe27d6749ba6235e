"""The fork server of the tests: what it makes is like what Python starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from tests import forking
from tests.serving import until

GATEWAY = [sys.executable, "-m", "gateway"]
#: What a process may be asked about itself.
ASKED = """
import os, random, signal, sys, threading
sys.stdin.read()
print(os.getcwd(), sorted(os.environ), sys.argv[1:], sys.path[0], __name__)
print({number: signal.getsignal(number) for number in (1, 2, 13, 15)}, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print(sorted(os.listdir("/proc/self/fd"))[:3], len(os.listdir("/proc/self/fd")), threading.active_count())
print(os.getsid(0) == os.getpid() == os.getpgrp(), sys.stdout.encoding, sys.stderr.line_buffering)
print(random.random(), file=sys.stderr)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "asked.py"
    path.write_text(ASKED)
    return path


@pytest.fixture
def sleeper(tmp_path: Path) -> Generator[forking.Process]:
    path = tmp_path / "sleeps.py"
    path.write_text("import time\nprint('awake', flush=True)\ntime.sleep(3600)\n")
    with (tmp_path / "said").open("w+b") as said:
        process = forking.start([sys.executable, str(path)], said, cwd=tmp_path, environ=forking.environ())
        until(lambda: (tmp_path / "said").read_bytes() == b"awake\n")
        yield process
        process.kill()
        process.wait()


def test_a_forked_process_is_as_one_that_python_starts(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, str(script), "one", "two"]
    environ = {**forking.environ(), "REDIS_URL": "redis://nowhere"}
    forked = [forking.run(command, cwd=tmp_path, environ=environ) for _ in range(2)]
    monkeypatch.setattr(forking, "start", forking.really_start)
    real = forking.run(command, cwd=tmp_path, environ=environ)
    assert forked[0].stdout == forked[1].stdout == real.stdout
    assert "__main__" in real.stdout
    assert len({one.stderr for one in (*forked, real)}) == 3
    assert [one.returncode for one in (*forked, real)] == [0, 0, 0]


def test_what_a_command_says_and_how_it_ends(tmp_path: Path) -> None:
    for words, code, stream in ((["version"], 0, "stdout"), (["nothing"], 2, "stderr")):
        forked = forking.run([*GATEWAY, *words], cwd=tmp_path, environ=forking.environ())
        real = subprocess.run(
            [*GATEWAY, *words], cwd=tmp_path, env=forking.environ(), capture_output=True, text=True, check=False
        )
        assert getattr(forked, stream)
        assert (forked.returncode, forked.stdout, forked.stderr) == (code, real.stdout, real.stderr)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("raise ValueError('so')", 1, "ValueError: so"),
        ("raise SystemExit('why')", 1, "why"),
        ("raise SystemExit(7)", 7, ""),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt"),
        ("import os; os._exit(3)", 3, ""),
        ("import atexit, sys; atexit.register(print, 'late', file=sys.stderr)", 0, "late"),
        ("import os; os.abort()", -6, ""),
    ],
)
def test_it_ends_as_python_does(text: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(text)
    done = forking.run([sys.executable, str(tmp_path / "ends.py")], cwd=tmp_path, environ=forking.environ())
    assert (done.returncode, said in done.stderr) == (code, True)


def test_signals_reach_it_and_it_stays_until_it_is_waited_for(sleeper: forking.Process) -> None:
    assert isinstance(sleeper, forking.Forked)
    seen = psutil.Process(sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    until(lambda: seen.status() == psutil.STATUS_STOPPED)
    sleeper.send_signal(signal.SIGCONT)
    until(lambda: seen.status() == psutil.STATUS_SLEEPING)
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.01)
    os.killpg(sleeper.pid, signal.SIGKILL)
    until(lambda: seen.status() == psutil.STATUS_ZOMBIE)
    os.killpg(sleeper.pid, signal.SIGKILL)
    assert sleeper.wait() == -signal.SIGKILL
    assert not psutil.pid_exists(sleeper.pid)
    assert sleeper.poll() == sleeper.wait(0) == -signal.SIGKILL
    sleeper.terminate()  # of what has ended nothing is asked


def test_it_is_nobodys_child_here(sleeper: forking.Process) -> None:
    family = {one.pid for one in psutil.Process().children(recursive=True)}
    server = psutil.Process(sleeper.pid).ppid()
    assert not family & {sleeper.pid, server}


@pytest.mark.parametrize("variable", ["PYTHONUNBUFFERED", "TZ", "PROMETHEUS_MULTIPROC_DIR", "DBOS__VMID"])
def test_what_counts_while_the_gateway_is_loaded_starts_one_of_its_own(variable: str, tmp_path: Path) -> None:
    environ = {**forking.environ(), variable: str(tmp_path)}
    (tmp_path / "ends.py").write_text("")
    with (tmp_path / "said").open("wb") as said:
        process = forking.start([sys.executable, str(tmp_path / "ends.py")], said, cwd=tmp_path, environ=environ)
    assert isinstance(process, subprocess.Popen)
    assert process.wait() == 0


def test_the_server_ends_with_whoever_started_it_and_what_it_forked_lives_on(tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(3600)")
    start = (
        "import sys, time\nfrom pathlib import Path\nfrom tests import forking\n"
        "command = [sys.executable, 'sleeps.py']\n"
        "process = forking.start(command, open('said', 'wb'), cwd=Path.cwd(), environ=forking.environ())\n"
        "print(process.pid, flush=True)\ntime.sleep(3600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start], cwd=tmp_path, env=forking.environ(), stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        forked = psutil.Process(int(starter.stdout.readline()))
        server = forked.parent()
        assert server is not None
        starter.kill()
        starter.wait()
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    assert forked.is_running()
    forked.kill()
    until(lambda: not forked.is_running() or forked.status() == psutil.STATUS_ZOMBIE)
