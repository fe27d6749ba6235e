"""docs/failures.md tells callers every status that an error of the gateway may have, and its types."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import errors
from gateway.errors import GatewayError

_TEXT = (Path(__file__).parents[3] / "docs" / "failures.md").read_text()
_ROWS = re.findall(r"^\| (\d{3}(?:, \d{3})*) \| (`.+?`) \|", _TEXT, flags=re.MULTILINE)
TOLD = {
    (int(status), kind.strip("`"))
    for numbers, kinds in _ROWS
    for status in numbers.split(", ")
    for kind in kinds.split(", ")
}
_CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, GatewayError)]
RAISED = {
    *((one.status, one.type) for one in _CLASSES),
    *((status, kind) for status, kind, _ in errors._VERDICTS.values()),
}


@pytest.mark.parametrize(("status", "kind"), sorted(RAISED))
def test_an_error_is_told(status: int, kind: str) -> None:
    assert (status, kind) in TOLD
