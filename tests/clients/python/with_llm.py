"""The `llm` command; it knows its models from a file of the user's. Run in this process: starting takes it seconds."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from llm.cli import cli
from obeying import GATEWAY, obey

HOME = Path(os.environ["LLM_USER_PATH"])
TOOLS = """
def weather(city: str) -> str:
    "The weather of a city."
    return f"rain in {city}"

def clock(zone: str) -> str:
    "The time in a zone."
    return f"noon in {zone}"
"""
PARCEL = "sender, kilograms float"


class CommandFailed(Exception):
    """It ended with another status than 0."""


def run(order: dict[str, Any], *arguments: str, said: bytes = b"") -> str:
    HOME.mkdir(exist_ok=True)
    entry = {
        "model_id": order["model"],
        "model_name": order["model"],
        "api_base": f"{GATEWAY}/v1",
        "api_key_name": "steelyard",
        "supports_schema": True,
        "supports_tools": True,
        "vision": True,
    }
    (HOME / "extra-openai-models.yaml").write_text(json.dumps([entry]))
    (HOME / "keys.json").write_text(json.dumps({"steelyard": order["key"]}))
    done = CliRunner().invoke(cli, list(arguments), input=said)
    if done.exit_code:
        raise CommandFailed(done.stderr or repr(done.exception)) from done.exception
    return done.stdout


def last(order: dict[str, Any]) -> Any:
    return json.loads(run(order, "logs", "-n", "1", "--json"))[0]


def chat(order: dict[str, Any]) -> Any:
    text = run(order, "-m", order["model"], "--no-stream", order["said"])
    logged = last(order)
    return {"text": text.rstrip("\n"), "input": logged["input_tokens"], "output": logged["output_tokens"]}


def stream(order: dict[str, Any]) -> Any:
    text = run(order, "-m", order["model"], order["said"])
    logged = last(order)
    return {"text": text.rstrip("\n"), "input": logged["input_tokens"], "output": logged["output_tokens"]}


def tools(order: dict[str, Any]) -> Any:
    text = run(order, "-m", order["model"], "--no-stream", "--functions", TOOLS, order["said"])
    return {"text": text}


def tools_streamed(order: dict[str, Any]) -> Any:
    return {"text": run(order, "-m", order["model"], "--functions", TOOLS, order["said"])}


def structured(order: dict[str, Any]) -> Any:
    return {"value": json.loads(run(order, "-m", order["model"], "--schema", PARCEL, order["said"]))}


def vision(order: dict[str, Any]) -> Any:
    picture = base64.b64decode(order["image"])
    run(order, "-m", order["model"], "--at", "-", "image/png", order["said"], said=picture)
    return {"input": last(order)["input_tokens"]}


obey(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "tools_streamed": tools_streamed,
        "structured": structured,
        "vision": vision,
    }
)
