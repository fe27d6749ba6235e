"""What steps leave as files: asked for or too large, written once, and read back as it was or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

import msgspec
import pytest
from plan_world import Tree, definition
from workflow_scene import Scene, Shelf, refusing

from gateway.records import StoreUnavailable
from gateway.workflows.bind import still_read
from gateway.workflows.kept import Artifact, Execution, Spent, StepExecution
from gateway.workflows.runner import Patient
from gateway.workflows.running import Context
from tests.unit.gateway.paused_time import paused, run

#: Larger than what these scenes keep in a row, and not for Latin letters alone.
LARGE = "größer " * 200


def ask(text: str = "q", **more: Any) -> Tree:
    return {"type": "prompt", "prompt": text, **more}


def scene_of(nodes: dict[str, Tree], *edges: str, inline: int = 1_000, most: int = 100_000, **more: Any) -> Scene:
    """Of a workflow whose prompts are answered with what they ask, of whatever length."""
    return Scene(definition(nodes, *edges, **more), inline=inline, most=most)


def files(scene: Scene, node: str | None = None) -> list[tuple[str, str, bytes]]:
    """Name, media type and content of the files that are known of, of one node or of all."""
    known = [one for one in scene.shelf.artifacts.values() if node in {None, one.node_id}]
    for one in known:
        content = scene.drawer.files[one.path]
        assert (one.size, one.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return [(one.name, one.media_type, scene.drawer.files[one.path]) for one in known]


PLAIN, JSON = "text/plain; charset=utf-8", "application/json"


@pytest.mark.parametrize(
    ("node", "media_type", "content"),
    [
        (ask("hällo", artifact="x"), PLAIN, "hällo".encode()),
        (ask("7", output_schema={}, artifact="x"), JSON, b'{"text":"7"}'),
        ({"type": "template", "template": "hi", "artifact": "x"}, PLAIN, b"hi"),
        ({"type": "template", "output": {"text": "a", "b": 1}, "artifact": "x"}, JSON, b'{"text":"a","b":1}'),
        ({"type": "template", "output": "{{ 'said' }}", "artifact": "x"}, PLAIN, b"said"),
        ({"type": "template", "output": [1, None], "artifact": "x"}, JSON, b"[1,null]"),
        ({"type": "condition", "if": "true", "artifact": "x"}, JSON, b'{"branch":"true"}'),
        (ask("# hi", artifact={"name": "x", "media_type": "text/markdown"}), "text/markdown; charset=utf-8", b"# hi"),
        (ask("a,b", artifact={"name": "x", "media_type": "application/x-own"}), "application/x-own", b"a,b"),
        (
            {"type": "map", "over": "[1]", "node": ask("q"), "artifact": "x"},
            JSON,
            b'{"items":[{"text":"q"}],"failed":0}',
        ),
    ],
)
def test_what_a_node_comes_to_is_kept_as_a_file(node: Tree, media_type: str, content: bytes) -> None:
    async def once() -> None:
        scene = scene_of({"a": node})
        assert (await scene.attempt()).status == "completed"
        assert files(scene) == [("x", media_type, content)]
        assert scene.shelf.of("a").data["artifacts"] == ["artifact_1"]
        # And is where it always was, too.
        assert scene.shelf.execution.outputs == {"a": scene.shelf.of("a").output}

    run(once())


@paused
async def test_names_are_templates_and_made_harmless() -> None:
    name = "../{{ input.topic }}/{{ nodes.a.output.text }}.md"
    scene = scene_of({"a": ask("one"), "b": ask("two", artifact=name), "c": ask("q", artifact="{{ [1, 2] }}")}, "a>b")
    assert (await scene.attempt()).status == "completed"
    assert [one[0] for one in files(scene)] == ["[1, 2]", "_tea_one.md"]


@paused
async def test_a_name_that_cannot_be_made_costs_nothing() -> None:
    scene = scene_of({"a": ask("q", artifact="{{ nodes.a.output.text }}")})
    done: Any = await scene.attempt()
    assert done.error.type == "template_error"
    assert not scene.asked.calls


@paused
async def test_items_have_files_of_their_own() -> None:
    inner = ask("q{{ item }}", artifact="{{ item }}-{{ index }}.txt")
    scene = scene_of({"a": {"type": "map", "over": "['x', 'y']", "node": inner}})
    await scene.attempt()
    assert sorted(files(scene)) == [("x-0.txt", PLAIN, b"qx"), ("y-1.txt", PLAIN, b"qy")]
    assert sorted((one.item, one.attempt) for one in scene.shelf.artifacts.values()) == [(0, 1), (1, 1)]


@paused
async def test_a_step_that_fails_leaves_none_and_neither_does_a_default() -> None:
    node = ask("q", artifact="x", on_error="default", default={"text": "instead"})
    scene = scene_of({"a": node})
    scene.asked.plays["a"] = refusing()
    assert (await scene.attempt()).outputs == {"a": {"text": "instead"}}
    assert files(scene) == []
    assert "artifacts" not in scene.shelf.of("a").data


# --------------------------------------------------------------------------------------------------------------- large


def chain() -> Scene:
    """A large output that is used later, after a step that does not use it, by a template, an edge and the outputs."""
    nodes = {
        "big": ask(LARGE),
        "small": ask("s"),
        "user": ask("{{ nodes.big.output.text | length }}!", artifact="length.txt"),
        "huge": {"type": "template", "output": {"list": ["{{ nodes.big.output.text }}", "{{ nodes.user.output }}"]}},
        # What asks nobody is one write: this one is begun after it, and so dies after it, too.
        "last": ask("{{ nodes.huge.output.list | length }}"),
    }
    edges: list[Any] = [
        "big>small",
        {"source": "small", "target": "user", "condition": "nodes.big.output.text | length > 5"},
        "user>huge",
        "huge>last",
    ]
    made = scene_of(nodes, *edges, outputs={"all": "{{ nodes.huge.output.list }}", "first": "{{ nodes.big.output }}"})
    return made


EXPECTED = {"all": [LARGE, {"text": f"{len(LARGE)}!"}], "first": {"text": LARGE}}


@paused
async def test_large_outputs_are_files_and_templates_see_them_whole() -> None:
    scene = chain()
    done: Any = await scene.attempt()
    assert (done.status, done.outputs) == ("completed", EXPECTED)
    kept = scene.shelf.of("big")
    (name, media_type, content), *_ = files(scene, "big")
    assert (name, media_type, json.loads(content)) == ("big.output.json", JSON, {"text": LARGE})
    assert kept.output == {
        "artifact_id": "artifact_1",
        "size": len(content),
        "media_type": JSON,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert scene.shelf.of("small").output == {"text": "s"}


def test_a_kill_at_any_write_changes_nothing_and_leaves_one_file_of_each() -> None:
    async def all_of_them() -> int:
        place = 0
        while True:
            for kept in (False, True):
                scene = chain()
                if not await scene.killed_at(place, kept=kept):
                    return place
                done: Any = await scene.attempt()
                assert (done.status, done.outputs) == ("completed", EXPECTED), (place, kept)
                assert scene.asked.again == []
                names = sorted(one[0] for one in files(scene))
                assert names == ["big.output.json", "huge.output.json", "length.txt"], (place, kept)
            place += 1

    assert run(all_of_them()) > 7


@paused
async def test_items_of_a_map_and_rounds_of_a_loop_are_read_back() -> None:
    over = {"type": "map", "over": "[1, 2, 3]", "node": ask(LARGE + "{{ item }}"), "parallel": 1}
    turns = {
        "type": "loop",
        "node": ask("{{ previous.text if previous else '' }}" + LARGE),
        "until": "iteration == 3",
    }
    scene = scene_of({"m": over, "l": turns}, "m>l")
    for place in (5, 8):
        assert await scene.killed_at(place, kept=True)
    done: Any = await scene.attempt()
    assert done.status == "completed", done.error
    assert done.outputs["l"]["output"]["text"] == LARGE * 3
    assert scene.asked.again == []
    sizes = [scene.shelf.of("m", item).output["size"] for item in range(3)]
    assert len(set(sizes)) == 1


@paused
async def test_what_cannot_be_read_back_ends_the_attempt_and_says_what_to_do() -> None:
    for harm in ("gone", "changed", "unknown", "foreign"):
        scene = chain()
        assert await scene.killed_at(3, kept=True)
        (known,) = scene.shelf.artifacts.values()
        kept = scene.drawer.files[known.path]
        if harm == "gone":
            del scene.drawer.files[known.path]
        elif harm == "changed":
            scene.drawer.files[known.path] = b'{"text":"forged"}'
        elif harm == "unknown":
            scene.shelf.artifacts.clear()
        else:
            scene.shelf.artifacts[known.id] = msgspec.structs.replace(known, execution_id="wfexec_other")
        done: Any = await scene.attempt()
        assert done.status == "failed"
        assert (done.error.code, done.error.node_id) == ("artifact_lost", "big")
        assert '"from_step": "big"' in done.error.message
        assert scene.asked.calls["user", -1] == 0
        # What was mended goes on where it was.
        scene.drawer.files[known.path], scene.shelf.artifacts[known.id] = kept, known
        scene.shelf.next_attempt()
        assert (await scene.attempt()).outputs == EXPECTED
        assert scene.asked.again == []


@paused
async def test_what_nobody_reads_any_more_need_not_be_there() -> None:
    scene = scene_of(
        {"big": ask(LARGE), "b": ask("{{ nodes.big.output.text | length }}!"), "c": ask("q")}, "big>b", "b>c"
    )
    assert await scene.killed_at(5, kept=True)
    assert scene.shelf.of("b").status == "succeeded"
    scene.drawer.files.clear()
    assert (await scene.attempt()).status == "completed"


@paused
async def test_an_output_that_looks_like_a_reference_is_none() -> None:
    """A model, or a server, may say what it likes."""
    scene = scene_of({"big": ask(LARGE), "a": ask("x"), "b": ask("{{ nodes.a.output.artifact_id }}")}, "big>a", "a>b")

    async def forged(_context: Context, _node: Any) -> Any:
        return dict(scene.shelf.of("big").output)

    scene.asked.plays["a"] = forged
    assert await scene.killed_at(4, kept=True)
    assert (await scene.attempt()).outputs == {"b": {"text": "artifact_1"}}


@paused
async def test_half_of_a_pair_of_letters_survives() -> None:
    """Some models' JSON has it; UTF-8 cannot say it, JSON can."""
    scene = scene_of({"big": ask("q", artifact="x.txt")})

    async def odd(_context: Context, _node: Any) -> Any:
        return {"text": "\ud800" * 2_000}

    scene.asked.plays["big"] = odd
    assert await scene.killed_at(1, kept=True)
    done: Any = await scene.attempt()
    assert done.outputs == {"big": {"text": "\ud800" * 2_000}}
    assert ("x.txt", PLAIN, b"?" * 2_000) in files(scene)


@paused
async def test_a_commit_that_nobody_heard_of_is_found_with_its_files() -> None:
    class Unheard(Shelf):
        """Keeps the first success and says that it could not."""

        lost = False

        async def put(
            self,
            attempt: int,
            step: StepExecution,
            event: str,
            *,
            spent: Spent | None = None,
            made: Collection[Artifact] = (),
            begun: bool = False,
        ) -> bool:
            won = await super().put(attempt, step, event, spent=spent, made=made, begun=begun)
            if event == "step.succeeded" and not self.lost:
                self.lost = True
                raise StoreUnavailable("The connection broke.")
            return won

    big = {"big": ask(LARGE), "b": ask("{{ nodes.big.output.text | length }}!")}
    scene = Scene(definition(big, "big>b"), shelf=Unheard(), memory=Patient, inline=1_000)
    done: Any = await scene.attempt()
    assert done.outputs == {"b": {"text": f"{len(LARGE)}!"}}
    assert len(files(scene)) == 1
    assert scene.asked.calls["big", -1] == 1


@paused
async def test_what_is_nested_beyond_all_reason_fails_its_step() -> None:
    scene = scene_of({"a": ask("q")})

    async def deep(_context: Context, _node: Any) -> Any:
        output: list[Any] = []
        for _ in range(10_000):
            output = [output]
        return output

    scene.asked.plays["a"] = deep
    done: Any = await scene.attempt()
    assert (done.status, done.error.code) == ("failed", "output_too_deep")
    assert scene.shelf.of("a").spent == Spent(0.25, 3, 4)


# -------------------------------------------------------------------------------------------------------- no more room


@paused
async def test_a_full_disk_throws_no_output_away_that_was_paid_for() -> None:
    scene = scene_of({"big": ask(LARGE), "b": ask("{{ nodes.big.output.text | length }}!")}, "big>b")
    scene.drawer.full = True
    done: Any = await scene.attempt()
    assert done.outputs == {"b": {"text": f"{len(LARGE)}!"}}
    assert scene.shelf.of("big").output == {"text": LARGE}
    assert (scene.drawer.files, scene.shelf.artifacts) == ({}, {})


@paused
async def test_an_output_that_no_file_may_hold_fails_its_step() -> None:
    scene = scene_of({"a": ask(LARGE)}, most=1_000)
    done: Any = await scene.attempt()
    assert (done.status, done.error.code) == ("failed", "artifact_too_large")


@pytest.mark.parametrize("full", [True, False])
def test_a_file_that_was_asked_for_and_cannot_be_had_fails_its_step(full: bool) -> None:
    async def once() -> Execution:
        scene = scene_of({"a": ask(LARGE, artifact="x")}, inline=10**6, most=10**6 if full else 1_000)
        scene.drawer.full = full
        done: Any = await scene.attempt()
        assert done.error.code == ("artifact_not_written" if full else "artifact_too_large")
        assert "1,000 bytes" in done.error.message or full
        # It is not asked again, and what it has cost is kept.
        assert scene.asked.calls["a", -1] == 1
        assert scene.shelf.of("a").spent == Spent(0.25, 3, 4)
        assert (scene.drawer.files, scene.shelf.artifacts) == ({}, {})
        return done

    assert run(once()).status == "failed"


def test_what_may_yet_be_read() -> None:
    def needed(*done: str, edges: tuple[Any, ...] = ("a>b", "b>c"), **more: Any) -> set[str]:
        nodes: dict[str, Tree] = {
            "a": ask("{{ input.x }}"),
            "b": {"type": "map", "over": "nodes.a.output.list", "node": ask("{{ item }} {{ nodes.z.output.text }}")},
            "c": {"type": "vote", "of": "b", "score": "{{ nodes.b.output['items'] | length }}"},
            "z": ask("q"),
        }
        return still_read(definition(nodes, *edges, **more), set(done))

    assert needed(outputs={"x": 1}) == {"a", "b", "z"}
    assert needed("a", "b", outputs={"x": 1}) == {"b"}
    assert needed("a", "b", "c", "z", outputs={"x": 1}) == set()
    assert needed("a", "b", "c", "z", outputs={"x": "{{ nodes.a.output }}"}) == {"a"}
    # Without outputs, what nothing follows comes out; what is read by a name that is known only later may be any.
    assert needed("a", "b", "c", "z") == {"c", "z"}
    assert needed("a", "b", "c", "z", outputs={"x": "{{ nodes[input.k].output }}"}) == {"a", "b", "c", "z"}
    held: Any = {"source": "a", "target": "b", "condition": "nodes.a.output.good"}
    assert needed("a", "b", "c", "z", edges=(held,), outputs={"x": 1}) == {"a"}
    no_score: dict[str, Tree] = {"a": ask("q"), "c": {"type": "vote", "of": "a", "score": "1"}}
    assert still_read(definition(no_score, "a>c", outputs={"x": 1}), {"a"}) == {"a"}
