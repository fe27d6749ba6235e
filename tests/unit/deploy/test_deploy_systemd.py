"""The units are what systemd takes, well closed, and fit the product: settings, commands, credentials and graces."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from gateway.settings.environment import known_variables
from gateway.settings.sections import Artifacts, RequestLog, Server
from gateway.supervisor import _MARGIN
from tests import deployed
from tests.deployed import UNITS, said_by, understood, unit

STEELYARD = "/opt/steelyard/bin/steelyard"
#: What Python itself reads.
FOREIGN = {"PYTHONDONTWRITEBYTECODE"}
#: Of 100: systemd's own word for less than 20 is "OK".
EXPOSED = 20
ANALYZE = shutil.which("systemd-analyze")
every_unit = pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze on this machine")


def variables(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in unit(path)["Environment"])


def installed(path: Path, folder: Path) -> Path:
    """The unit, as on a machine where what it executes is there."""
    copy = folder / path.name
    copy.write_text(path.read_text().replace(STEELYARD, "/bin/true"))
    return copy


def test_there_is_one_for_each() -> None:
    assert [path.name for path in UNITS] == ["steelyard-worker@.service", "steelyard.service"]


@needs_systemd
@every_unit
def test_systemd_takes_it(path: Path, tmp_path: Path) -> None:
    assert ANALYZE is not None
    told = said_by(ANALYZE, "verify", "--man=no", str(installed(path, tmp_path)))
    assert (told.returncode, told.stderr) == (0, "")


@needs_systemd
@every_unit
def test_it_is_well_closed(path: Path, tmp_path: Path) -> None:
    assert ANALYZE is not None
    where = str(installed(path, tmp_path))
    told = said_by(ANALYZE, "security", "--offline=true", "--no-pager", f"--threshold={EXPOSED}", where)
    assert told.returncode == 0, told.stdout


@every_unit
def test_variables_are_settings_and_secrets_credentials(path: Path) -> None:
    given = variables(path)
    assert given.keys() - FOREIGN <= known_variables()
    loaded = {line.split(":", 1)[0] for line in unit(path)["LoadCredential"]}
    named = {name for value in given.values() for name in re.findall(r"file:%d/(\w+)", value)}
    assert named == loaded
    for name in given.keys() & deployed.secret_variables():
        assert "file:%d/" in given[name]


@every_unit
def test_commands_are_ours(path: Path) -> None:
    commands = [*unit(path)["ExecStartPre"], *unit(path)["ExecStart"], *unit(path).get("ExecReload", [])]
    own = [one for one in commands if one.startswith(STEELYARD)]
    assert [one for one in commands if one not in own] in ([], ["/bin/kill -HUP $MAINPID"])
    for one in own:
        understood(one.split()[1:])


def test_the_gateway_is_not_killed_while_it_takes_leave() -> None:
    gateway = next(path for path in UNITS if path.name == "steelyard.service")
    grace = float(variables(gateway).get("STEELYARD_SHUTDOWN_GRACE", Server().shutdown_grace))
    linger = float(variables(gateway).get("STEELYARD_SHUTDOWN_LINGER", Server().shutdown_linger))
    assert float(unit(gateway)["TimeoutStopSec"][0]) >= grace + linger + _MARGIN
    # The first process alone is told, and the others are its own to stop.
    assert unit(gateway)["KillMode"] == ["mixed"]


@every_unit
def test_what_is_written_lies_in_its_own_folder(path: Path) -> None:
    said = unit(path)
    assert said["StateDirectory"] == ["steelyard"]
    assert said["WorkingDirectory"] == ["/var/lib/steelyard"]
    assert said["ProtectSystem"] == ["strict"]
    # Relative to it, unless a setting says otherwise.
    assert not {"STEELYARD_LOG_SPILL_DIR", "STEELYARD_ARTIFACTS_DIR"} & variables(path).keys()
    assert not RequestLog().spill_dir.is_absolute()
    assert not Artifacts().dir.is_absolute()
