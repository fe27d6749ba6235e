"""The OpenAPI document: true to the running gateway, and complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.driving import OPENAI, World

VERBS = {"get", "post", "put", "patch", "delete"}
#: Address → whose errors it tells, and whether it streams.
LLM = {
    "/v1/chat/completions": ("GatewayError", True),
    "/v1/messages": ("AnthropicError", True),
    "/v1/messages/count_tokens": ("AnthropicError", False),
    "/v1beta/models/{model}:generateContent": ("GoogleError", False),
    "/v1beta/models/{model}:streamGenerateContent": ("GoogleError", True),
    "/v1beta/models/{model}:countTokens": ("GoogleError", False),
    "/v1beta/models/{model}:embedContent": ("GoogleError", False),
    "/v1beta/models/{model}:batchEmbedContents": ("GoogleError", False),
    "/v1/embeddings": ("GatewayError", False),
    "/v1/responses": ("GatewayError", True),
    "/v1/responses/input_tokens": ("GatewayError", False),
    "/v1/completions": ("GatewayError", True),
    "/v1/moderations": ("GatewayError", False),
    "/v1/images/generations": ("GatewayError", True),
    "/v1/audio/speech": ("GatewayError", True),
    "/v1/audio/transcriptions": ("GatewayError", True),
    "/api/llm/orchestrate": ("GatewayError", True),
}
#: Those whose body is no JSON.
FORMS = {"/v1/audio/transcriptions": "multipart/form-data"}
ERRORS = {"400", "401", "404", "408", "413", "429", "502", "503", "504"}


@pytest.fixture
def document(world: World) -> dict[str, Any]:
    return world.get("/openapi.json").json


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, verb, operation)
        for path, item in document["paths"].items()
        for verb, operation in item.items()
        if verb in VERBS
    ]


def nodes(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Steelyard"
    assert document["info"]["version"]


def test_every_operation_says_what_it_is(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len(found) >= 20
    for path, verb, operation in found:
        assert operation.get("summary"), f"{verb} {path}"
        assert any(status.startswith("2") for status in operation["responses"]), f"{verb} {path}"
    names = [operation["operationId"] for _, _, operation in found]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for node in nodes(document):
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            target: Any = document
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]


def test_every_path_parameter_is_declared(document: dict[str, Any]) -> None:
    for path, verb, operation in operations(document):
        declared = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert set(re.findall(r"{(\w+)}", path)) == declared, f"{verb} {path}"


@pytest.mark.parametrize("path", LLM)
def test_the_llm_surfaces_have_bodies_and_errors(document: dict[str, Any], path: str) -> None:
    operation = document["paths"][path]["post"]
    schema = operation["requestBody"]["content"][FORMS.get(path, "application/json")]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
    assert schema["properties"]
    assert operation["requestBody"]["required"] is True
    assert operation["responses"].keys() >= ERRORS
    for status in ERRORS:
        error = operation["responses"][status]["content"]["application/json"]["schema"]
        assert error["$ref"] == f"#/components/schemas/{LLM[path][0]}"
    assert ("text/event-stream" in operation["responses"]["200"]["content"]) == LLM[path][1]


def test_the_errors_of_messages_are_anthropics(document: dict[str, Any]) -> None:
    answer = document["paths"]["/v1/messages"]["post"]["responses"]["400"]["content"]["application/json"]["schema"]
    assert answer["$ref"] != "#/components/schemas/GatewayError"


def test_every_answer_is_typed(document: dict[str, Any]) -> None:
    untyped = [
        f"{verb} {path}"
        for path, verb, operation in operations(document)
        for status, response in operation["responses"].items()
        if status.startswith("2")
        for kind, media in response.get("content", {}).items()
        if kind == "application/json" and not media["schema"].keys() & {"$ref", "properties", "items", "oneOf", "anyOf"}
    ]
    assert untyped == []


def fits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    """Every field of `value` is documented, and every required one is there."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
    if isinstance(value, list):
        return all(fits(document, schema["items"], one) for one in value)
    if not isinstance(value, dict):
        return True
    if "properties" not in schema:
        return all(fits(document, schema["additionalProperties"], one) for one in value.values())
    fields = schema["properties"]
    return (
        value.keys() <= fields.keys()
        and value.keys() >= set(schema["required"])
        and all(fits(document, fields[name], one) for name, one in value.items())
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"session_id": "documented"},
        {"mode": "race", "model": "sim-chat"},
        {"mode": "compare", "model": "sim-chat", "parallel": 2},
        # One of them has no such model, and says so.
        {"mode": "compare", "model": "sim-gpt-small", "providers": ["sim-openai", "sim-local"]},
    ],
    ids=str,
)
def test_orchestrate_answers_as_documented(world: World, document: dict[str, Any], more: dict[str, Any]) -> None:
    answer = world.orchestrate(prompt="as documented", **{"model": OPENAI, **more})
    assert answer.status == 200
    media = document["paths"]["/api/llm/orchestrate"]["post"]["responses"]["200"]["content"]["application/json"]
    assert fits(document, media["schema"], answer.json)
    assert not fits(document, media["schema"], {**answer.json, "surprise": 1})


def test_every_operation_behind_a_key_documents_401(document: dict[str, Any]) -> None:
    open_to_all = ("/health", "/api/health")
    silent = [
        f"{verb} {path}"
        for path, verb, operation in operations(document)
        if not path.startswith(open_to_all) and "401" not in operation["responses"]
    ]
    assert silent == []


def test_errors_are_documented_in_the_shape_they_have(document: dict[str, Any]) -> None:
    for path, verb, operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")):
                media = response.get("content", {}).get("application/json", {}).get("schema", {})
                assert "status_code" not in media.get("properties", {}), f"{verb} {path} {status}"


def test_every_documented_address_is_served(world: World, document: dict[str, Any]) -> None:
    for path, verb, _ in operations(document):
        address = re.sub(r"{\w+}", "req_none", path)
        answer = world.call(verb.upper(), address, b"{" if verb == "post" else None)
        assert answer.status != 405, f"{verb} {path}"
        assert b"There is nothing at" not in answer.body, f"{verb} {path}"


def test_every_field_of_orchestrate_is_documented(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["OrchestrateRequest"]["properties"]
    wanted = {
        *("prompt", "messages", "providers", "model", "mode", "strategy", "objective", "session_id", "cache"),
        *("stream", "timeout", "metadata", "temperature", "max_tokens", "top_p", "stop", "response_format", "tools"),
    }
    assert wanted <= fields.keys()


def test_the_key_is_documented(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_page_shows_the_document(world: World) -> None:
    answer = world.get("/docs")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
