"""What people see: the plot, the document, the command."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from PIL import Image

from dwa.simulate import CHANCE, ORACLE, OURS, SCENARIOS, compare, draw, play, pool, verdict, write
from dwa.simulate.plot import GAP, PANEL, TOP, WIDTH
from dwa.simulate.runs import compare_all
from gateway.cli.dwa import dwa
from gateway.cli.raster import png


def test_the_plot_is_well_formed_and_shows_every_host_and_policy() -> None:
    made = SCENARIOS["outage_fast"].world(1, 20.0)
    runs = {policy: play(made, policy, 1) for policy in (OURS, ORACLE)}
    text = draw("a < b & c", made, runs)
    root = ElementTree.fromstring(text)
    shown = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a < b & c" in shown
    assert {host.name for host in made.hosts} | set(runs) <= set(shown)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polygon"))) == len(made.hosts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == len(runs)


def test_the_plot_survives_a_run_without_requests() -> None:
    made = SCENARIOS["low_traffic"].world(1, 1.0)
    ElementTree.fromstring(draw("empty", made, {OURS: play(made, OURS, 1)}))


def test_the_document_has_every_scenario_and_policy_it_was_given() -> None:
    names = ("equals", "outage_fast")
    results = {name: pool({seed: compare(name, (OURS, "envoy"), seed, 20.0) for seed in (1, 2)}) for name in names}
    text = write(results, range(1, 3), range(1, 2))
    for name in names:
        assert f"### {name}\n" in text
        assert SCENARIOS[name].asks in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.count("|") for line in rows}
    assert widths == {4, 8, 13}
    assert sum(line.startswith("| **dwa** |") for line in rows) == 2
    assert "Seeds 1 to 2, for the rivals up to 1;" in text


def test_a_verdict_names_a_missed_bar_and_a_better_rival() -> None:
    found = pool({seed: compare("stationary_balanced", (OURS, "envoy"), seed, 30.0) for seed in (1, 2)})
    scenario = SCENARIOS["stationary_balanced"]
    assert verdict(scenario, found[ORACLE], found[CHANCE]) == "met"
    assert verdict(scenario, found[CHANCE], found[ORACLE]) == "missed, rival ahead"


def test_processes_and_none_give_the_same_numbers() -> None:
    alone = list(compare_all(("equals",), ("envoy",), (1, 2), seconds=5.0, workers=1))
    spread = sorted(compare_all(("equals",), ("envoy",), (1, 2), seconds=5.0, workers=2), key=lambda done: done[1])
    assert [repr(done) for done in alone] == [repr(done) for done in spread]


def test_the_command_shows_a_table_and_writes_a_plot(tmp_path: Path) -> None:
    plot = tmp_path / "deep" / "plot.svg"
    arguments = ["simulate", "--scenario", "equals", "--strategy", "envoy", "--seeds", "2", "--seconds", "10"]
    result = CliRunner().invoke(dwa, [*arguments, "--workers", "1", "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    assert "envoy" in result.output
    assert "oracle" in result.output
    ElementTree.fromstring(plot.read_text())


def test_the_command_writes_a_picture_of_pixels(tmp_path: Path) -> None:
    plot = tmp_path / "plot.PNG"
    arguments = ["simulate", "--scenario", "equals", "--seeds", "1", "--seconds", "10", "--workers", "1"]
    result = CliRunner().invoke(dwa, [*arguments, "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    with Image.open(plot) as image:
        assert image.format == "PNG"
        assert image.size == (2 * WIDTH, 2 * (TOP + 2 * PANEL + 2 * GAP))


def test_pixels_show_what_the_shapes_say() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="60">'
        '<rect width="100" height="60" fill="white"/><rect x="60" y="0" width="10" height="10" fill="#ff0000"/>'
        '<polygon points="0,40 20,40 20,60 0,60" fill="#0000ff" fill-opacity="0.5"/>'
        '<polyline points="40,30 60,30" fill="none" stroke="#00ff00" stroke-width="4"/>'
        '<line x1="90" y1="0" x2="90" y2="60" stroke="black"/>'
        '<text x="30" y="55" text-anchor="middle">WWW</text></svg>'
    )
    with Image.open(BytesIO(png(svg))) as image:
        found = image.convert("RGB")
    assert found.size == (200, 120)
    assert found.getpixel((130, 10)) == (255, 0, 0)
    red, green, blue = cast("tuple[int, int, int]", found.getpixel((20, 100)))
    assert blue == 255
    assert red == green == pytest.approx(127, abs=2)
    assert found.getpixel((100, 60)) == (0, 255, 0)
    assert max(cast("tuple[int, int, int]", found.getpixel((180, 60)))) < 90
    assert found.getpixel((160, 60)) == (255, 255, 255)
    written = found.crop((36, 90, 84, 112)).getcolors(10_000)
    assert written is not None
    assert sum(count for count, colour in written if colour == (0, 0, 0)) > 20, "no word was written"


def test_a_shape_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        png('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="3"/></svg>')


def test_without_pillow_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    result = CliRunner().invoke(dwa, ["simulate", "--scenario", "equals", "--plot", "x.png"])
    assert result.exit_code == 2
    assert "pip install 'steelyard[plot]'" in " ".join(result.output.replace("│", " ").split())


def test_the_command_prints_json_that_is_json() -> None:
    arguments = ["simulate", "--scenario", "equals", "--seeds", "1", "--seconds", "5", "--workers", "1", "--json"]
    result = CliRunner().invoke(dwa, arguments)
    found = json.loads(result.stdout)
    assert set(found["equals"]) == {OURS, ORACLE, CHANCE}
    assert found["equals"]["oracle"]["gap"] == 1.0
    assert found["equals"]["dwa"]["leave_s"] is None


def test_the_command_lists_scenarios_and_policies() -> None:
    result = CliRunner().invoke(dwa, ["scenarios"])
    assert result.exit_code == 0
    assert "outage_hanging" in result.output
    assert "discounted_thompson" in result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["simulate", "--plot", "x.svg"], "--plot draws one scenario"),
        (["simulate", "--scenario", "equals", "--plot", "x.gif"], "end in .svg or .png, not .gif"),
        (["simulate", "--scenario", "nothing"], "nothing"),
        (["simulate", "--strategy", "nothing"], "nothing"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(dwa, arguments)
    assert result.exit_code == 2
    assert complaint in result.output
