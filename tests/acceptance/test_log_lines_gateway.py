"""The log of a whole gateway: one file of several workers, each line of a request naming it, and its execution."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.acceptance.driving import ADMIN_KEY
from tests.acceptance.flows import Flows, an_oracle, flows_in, prompts

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REQUESTS = 40


def lines_of(folder: Path) -> list[dict[str, Any]]:
    files = [one for one in folder.glob("steelyard.log*") if one.suffix != ".lock"]
    return [json.loads(line) for one in files for line in one.read_text().splitlines()]


def ask(flows: Flows, said: str, **headers: str) -> Any:
    body = {"model": "sage", "messages": [{"role": "user", "content": said}]}
    return flows.call("POST", "/v1/chat/completions", body, **headers)


def test_two_workers_write_one_file_that_is_begun_anew_and_lose_no_line(tmp_path: Path) -> None:
    logged = {
        "STEELYARD_LOG_FILE": "steelyard.log",
        "STEELYARD_LOG_FILE_SIZE": "5000",
        "STEELYARD_LOG_FILE_COUNT": "100",
        "STEELYARD_LOG_REQUESTS": "all",
    }
    with an_oracle() as oracle, flows_in(tmp_path, oracle, "--workers", "2", **logged) as flows:
        ids = [ask(flows, f"q{number}").headers["x-steelyard-request-id"] for number in range(REQUESTS)]
        flows.save(prompts("logged", "w-logged"))
        begun = flows.begin("logged")
        assert flows.until(begun)["status"] == "completed"
        traced = ask(flows, "traced", traceparent=f"00-{TRACE}-{SPAN}-01")
        assert traced.headers["x-steelyard-trace-id"] == TRACE
    folder = flows.program.folder
    lines = lines_of(folder)
    told = Counter(one["request_id"] for one in lines if one["message"] == "request")
    assert [told[one] for one in ids] == [1] * REQUESTS
    assert (folder / "steelyard.log.2").exists()
    (of_execution,) = [one for one in lines if one["message"] == "request" and one.get("execution_id") == begun]
    assert (of_execution["workflow"], of_execution["node"], of_execution["provider"]) == ("logged", "n0", "oracle")
    (of_trace,) = [one for one in lines if one["message"] == "request" and one.get("trace_id") == TRACE]
    assert of_trace["request_id"] == traced.headers["x-steelyard-request-id"]
    assert {"reason", "strategy", "attempts", "provider_model"} <= of_trace.keys()
    assert ADMIN_KEY not in str(lines)
