"""The files of executions over HTTP and from the command line: made once, served whole, to their owner alone."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests import forking
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, Answer
from tests.acceptance.flows import Flows, Json, Oracle, a_postgres, an_oracle, flows_in, prompts

LARGE = "x" * 3_000


@pytest.fixture(scope="module")
def postgres() -> Generator[Callable[[str], str]]:
    with a_postgres() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that makes a gateway use it."""
    if request.param == "sqlite":
        return {}
    made: Callable[[str], str] = request.getfixturevalue("postgres")
    return {"DATABASE_URL": made(f"d{abs(hash(request.node.name))}")}


@pytest.fixture(scope="module")
def oracle() -> Generator[Oracle]:
    with an_oracle() as made:
        yield made


@pytest.fixture(scope="module")
def flows(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Generator[Flows]:
    hosts = f"127.0.0.1:{oracle.server.server_port}"
    environ = {"STEELYARD_WORKFLOWS_HTTP_HOSTS": hosts, "STEELYARD_ARTIFACTS_INLINE_MAX": "2KB"}
    with flows_in(tmp_path_factory.mktemp("artifacts"), oracle, **environ) as made:
        yield made


def listed(flows: Flows, execution_id: str, **query: object) -> list[Json]:
    more = "&".join(f"{name}={value}" for name, value in query.items())
    return flows.call("GET", f"/api/executions/{execution_id}/artifacts?{more}").json["artifacts"]


def download(flows: Flows, one: Json, key: str | None = ALICE_KEY, **headers: str) -> Answer:
    return flows.call("GET", one["download"], key=key, **headers)


def files(flows: Flows) -> list[Path]:
    """What lies in the gateway's folder for artifacts."""
    return [path for path in (flows.program.folder / "data" / "artifacts").rglob("*") if path.is_file()]


def report(slug: str, **more: object) -> Json:
    """A workflow whose one prompt is kept as a Markdown file named for the topic."""
    made = prompts(slug, "# {{ input.topic }}")
    made["nodes"]["n0"]["artifact"] = {"name": "{{ input.topic }}.md", "media_type": "text/markdown"}
    return {**made, "input_schema": {"properties": {"topic": {"type": "string"}}}, **more}


def test_what_a_node_comes_to_is_listed_and_downloaded(flows: Flows) -> None:
    flows.save(report("reports"))
    done = flows.run("reports", {"topic": "Größe/../a"})
    (one,) = listed(flows, done["execution_id"])
    content = "<# Größe/../a>".encode()
    assert one | {"created_at": ""} == {
        "artifact_id": one["artifact_id"],
        "execution_id": done["execution_id"],
        "node_id": "n0",
        "item": None,
        "attempt": 1,
        "name": "Größe_.._a.md",
        "media_type": "text/markdown; charset=utf-8",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "created_at": "",
        "download": f"/api/executions/{done['execution_id']}/artifacts/{one['artifact_id']}/content",
    }
    assert flows.call("GET", one["download"].removesuffix("/content")).json == one
    answer = download(flows, one)
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["etag"] == f'"sha256-{one["sha256"]}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Gr__e_.._a.md\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe_.._a.md"
    )
    known = download(flows, one, if_none_match=answer.headers["etag"])
    assert (known.status, known.body) == (304, b"")
    part = download(flows, one, range="bytes=1-4")
    assert (part.status, part.body) == (206, content[1:5])
    assert part.headers["content-range"] == f"bytes 1-4/{len(content)}"
    assert part.headers["content-length"] == "4"
    beyond = download(flows, one, range="bytes=1000-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    (step,) = flows.steps(done["execution_id"])
    assert step["output"]["text"] == content.decode()
    assert step["data"]["artifacts"] == [one["artifact_id"]]


def test_files_belong_to_the_key_of_their_execution(flows: Flows) -> None:
    flows.save(report("mine"))
    done = flows.run("mine", {"topic": "secret"})
    other = flows.run("mine", {"topic": "other"})
    (one,) = listed(flows, done["execution_id"])
    for path in (
        one["download"],
        one["download"].removesuffix("/content"),
        one["download"].rpartition("/artifacts")[0],
    ):
        where = path if "artifacts" in path else f"{path}/artifacts"
        assert flows.call("GET", where, key=BOB_KEY).status == 404
        assert flows.call("GET", where, key=None).status == 401
        assert flows.call("GET", where, key=ADMIN_KEY).status == 200
    # Nor is it there as another execution's, or under a name that is a way.
    mixed = one["download"].replace(done["execution_id"], other["execution_id"])
    assert flows.call("GET", mixed).status == 404
    for name in ("artifact_none", "..%2f..%2fsteelyard.db", "%2e%2e"):
        place = f"/api/executions/{done['execution_id']}/artifacts/{name}"
        assert flows.call("GET", f"{place}/content").status == 404


def test_listings_have_pages(flows: Flows) -> None:
    inner = {"type": "template", "template": "{{ item }}", "artifact": "{{ item }}.txt"}
    node = {"type": "map", "over": "[1, 2, 3]", "node": inner, "parallel": 1}
    flows.save({"slug": "pages", "name": "p", "nodes": {"a": node}})
    done = flows.run("pages")
    path = f"/api/executions/{done['execution_id']}/artifacts"
    first = flows.call("GET", f"{path}?limit=2").json
    assert [(one["name"], one["item"]) for one in first["artifacts"]] == [("1.txt", 0), ("2.txt", 1)]
    second = flows.call("GET", f"{path}?limit=2&after={first['next_after']}").json
    assert ([one["name"] for one in second["artifacts"]], second["next_after"]) == (["3.txt"], None)


def test_what_is_no_text_becomes_a_file(flows: Flows, oracle: Oracle) -> None:
    url = f"http://127.0.0.1:{oracle.server.server_port}/picture/2560000"
    flows.save({"slug": "fetches", "name": "f", "nodes": {"cat": {"type": "http", "url": url}}})
    done = flows.run("fetches")
    (one,) = listed(flows, done["execution_id"])
    assert (one["name"], one["media_type"], one["size"]) == ("2560000", "image/png", 2_560_000)
    facts = {name: one[name] for name in ("artifact_id", "size", "media_type", "sha256")}
    assert done["outputs"]["cat"]["body"] == facts
    assert download(flows, one).body == bytes(range(256)) * 10_000


def test_large_outputs_are_files_to_the_database_and_whole_to_templates(flows: Flows) -> None:
    made = prompts("large", f"{LARGE}!", "long: {{ nodes.n0.output.text | length }}")
    flows.save(made)
    done = flows.run("large")
    assert done["outputs"]["n1"]["text"] == f"<long: {len(LARGE) + 3}>"
    steps = {one["node_id"]: one for one in flows.steps(done["execution_id"])}
    (one,) = listed(flows, done["execution_id"])
    facts = {name: one[name] for name in ("artifact_id", "size", "media_type", "sha256")}
    assert steps["n0"]["output"] == facts
    assert json.loads(download(flows, one).body)["text"] == f"<{LARGE}!>"


def test_a_file_that_is_gone_or_changed_is_told_and_not_sent(flows: Flows) -> None:
    flows.save(report("lost"))
    done = flows.run("lost", {"topic": "tea"})
    (one,) = listed(flows, done["execution_id"])
    (file,) = (path for path in files(flows) if path.name == one["artifact_id"])
    file.write_bytes(b"forged!!!")
    answer = download(flows, one)
    assert (answer.status, answer.json["error"]["code"]) == (410, "artifact_damaged")
    assert b"forged" not in answer.body
    file.unlink()
    answer = download(flows, one, range="bytes=0-1")
    assert (answer.status, answer.json["error"]["code"]) == (410, "artifact_gone")
    assert flows.call("GET", one["download"].removesuffix("/content")).status == 200


def test_definitions_say_what_is_wrong_with_an_artifact(flows: Flows) -> None:
    wrong = report("wrong")
    wrong["nodes"]["n0"]["artifact"] = {"name": "{{ input.nothing }}", "media_type": "no type"}
    answer = flows.call("PUT", "/api/workflows/wrong", wrong, key=ADMIN_KEY)
    assert answer.status == 422
    assert any(one["path"].startswith("$.nodes.n0.artifact") for one in answer.json["error"]["problems"])
    wrong["nodes"]["n0"]["artifact"] = "{{ input.nothing }}"
    answer = flows.call("PUT", "/api/workflows/wrong", wrong, key=ADMIN_KEY)
    assert [one["path"] for one in answer.json["error"]["problems"]] == ["$.nodes.n0.artifact"]


def test_after_a_kill_each_step_has_one_file_and_large_outputs_come_back(
    database: dict[str, str], tmp_path: Path
) -> None:
    made = prompts("killed", f"k-first {LARGE}", "k-second WAIT", "k-third {{ nodes.n0.output.text | length }}")
    for place in range(3):
        made["nodes"][f"n{place}"]["artifact"] = f"{place}.txt"
    with an_oracle() as oracle, flows_in(tmp_path, oracle, **database, STEELYARD_ARTIFACTS_INLINE_MAX="2KB") as flows:
        flows.save(made)
        oracle.hold("WAIT")
        begun = flows.begin("killed")
        flows.eventually(lambda: oracle.times("k-second") == 1)
        flows.program.kill()
        oracle.go_on()
        flows.program.start()
        done = flows.until(begun)
        assert done["status"] == "completed", done["error"]
        assert done["outputs"]["n2"]["text"] == f"<k-third {len(LARGE) + 10}>"
        names = sorted(one["name"] for one in listed(flows, begun))
        assert names == ["0.txt", "1.txt", "2.txt", "n0.output.json"]
        assert oracle.asked[f"k-first {LARGE}"] == 1
        # What is not there any more ends it in words, and its step can be run anew.
        (whole,) = (one for one in listed(flows, begun) if one["name"] == "n0.output.json")
        (file,) = (path for path in files(flows) if path.name == whole["artifact_id"])
        file.unlink()
        flows.call("POST", f"/api/executions/{begun}/retry", {"from_step": "n2"})
        lost = flows.until(begun)
        assert (lost["status"], lost["error"]["code"]) == ("failed", "artifact_lost")
        flows.call("POST", f"/api/executions/{begun}/retry", {"from_step": "n0"})
        again = flows.until(begun)
        assert again["status"] == "completed", again["error"]
        old_and_new = [one["attempt"] for one in listed(flows, begun) if one["name"] == "0.txt"]
        assert old_and_new == [1, again["attempt"]]


def steelyard(flows: Flows, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**forking.environ(), "STEELYARD_KEY": ALICE_KEY, "STEELYARD_URL": flows.program.url}
    command = [sys.executable, "-m", "gateway", "workflows", *arguments]
    return forking.run(command, cwd=flows.program.folder, environ=environ)


def test_the_command_line_lists_and_downloads(flows: Flows, tmp_path: Path) -> None:
    node = {"type": "template", "template": "{{ item }}", "artifact": "same.txt"}
    flows.save(
        {"slug": "many", "name": "m", "nodes": {"a": {"type": "map", "over": "[1, 2]", "node": node, "parallel": 1}}}
    )
    done = flows.run("many")["execution_id"]
    said = steelyard(flows, "artifacts", done)
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("same.txt") == 2
    assert len(json.loads(steelyard(flows, "artifacts", done, "--json").stdout)) == 2
    folder = tmp_path / "out"
    said = steelyard(flows, "artifacts", done, "--download", str(folder))
    assert said.returncode == 0, said.stderr
    kept = {path.name: path.read_text() for path in folder.iterdir()}
    assert kept == {"same.txt": "1", "same-2.txt": "2"}
    # What is there stays.
    assert steelyard(flows, "artifacts", done, "--download", str(folder)).returncode == 0
    assert len(list(folder.iterdir())) == 4
    (one, other) = listed(flows, done)
    (file,) = (path for path in files(flows) if path.name == other["artifact_id"])
    file.write_bytes(b"!")
    refused = steelyard(flows, "artifacts", done, "--download", str(tmp_path / "again"))
    assert refused.returncode == 1
    assert "checksum" in refused.stderr
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["same.txt"]
    assert steelyard(flows, "artifacts", "wfexec_none").returncode == 1
    assert one["name"] == other["name"]
