"""Workflows in the OpenAPI document, as far as Litestar cannot know: bodies in two languages, streams, and errors."""

from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, PathItem, RequestBody, Schema

from gateway.api.following import MEDIA
from gateway.workflows.spec import Definition

_AWAY = "The database is not available right now."
_NOBODY = "There is no such one, or it is not yours."
_WRONG = "What was sent has problems; `error.problems` lists them all with their places."
_BEGINNING = {
    "404": "There is no such workflow.",
    "409": "The idempotency key has begun something else.",
    "422": _WRONG,
}
#: (verb, address) → what it answers with beside 400, 401, 403 and 503; where a name is missing there may be 404.
_ERRORS: dict[tuple[str, str], dict[str, str]] = {
    ("post", "/api/workflows"): {
        "400": "The body is neither JSON nor YAML.",
        "409": "The slug is taken.",
        "422": _WRONG,
    },
    ("put", "/api/workflows/{slug}"): {"422": _WRONG},
    ("delete", "/api/workflows/{slug}"): {"404": _NOBODY, "409": "Executions have not ended."},
    ("post", "/api/workflows/plan"): {
        "429": "A limit of the caller is reached, or every provider asks for fewer requests; see `Retry-After`.",
        "502": "The draft has problems, which `error.problems` lists, or every provider answered with rubbish.",
    },
    ("post", "/api/workflows/{slug}/execute"): _BEGINNING,
    ("post", "/api/workflows/{slug}/execute/stream"): _BEGINNING,
    ("post", "/api/executions/{execution_id}/resume"): {"404": _NOBODY, "409": "It has not failed, nor was cancelled."},
    ("post", "/api/executions/{execution_id}/retry"): {"404": _NOBODY, "409": "It has not ended.", "422": _WRONG},
    ("post", "/api/executions/{execution_id}/approve"): {
        "404": _NOBODY,
        "409": "Nothing waits for a decision, or it was decided already.",
        "422": _WRONG,
    },
    ("get", "/api/executions/{execution_id}/artifacts/{artifact_id}/content"): {
        "404": _NOBODY,
        "410": "The file is gone, or is not what was written: `error.code` says which.",
    },
    ("post", "/api/step-executions/{step_id}/cancel"): {"404": _NOBODY, "409": "It has ended."},
}
_ROOTS = ("/api/workflows", "/api/executions", "/api/step-executions", "/api/checkpoints", "/api/metrics/step-exec")
_TEXT: Any = {"type": "string"}


def further(verb: str, path: str) -> dict[str, str]:
    """The errors of an operation beside those that all have; empty for what is none of workflows."""
    if not path.startswith(_ROOTS):
        return {}
    known = _ERRORS.get((verb, path), {"404": _NOBODY} if "{" in path else {})
    return {**known, "503": _AWAY}


def describe(paths: dict[str, PathItem], known: dict[str, Any]) -> None:
    """Add the bodies of definitions and the streams."""
    (definition,), components = msgspec.json.schema_components([Definition], ref_template="#/components/schemas/{name}")
    known.update(components)
    whole, one = paths["/api/workflows"], paths["/api/workflows/{slug}"]
    for operation in (whole.post, one.put):
        assert operation is not None
        content = {kind: _media(definition) for kind in ("application/json", "application/yaml")}
        operation.request_body = RequestBody(content=content, required=True)
    events, stream = (
        paths["/api/executions/{execution_id}/events"].get,
        paths["/api/workflows/{slug}/execute/stream"].post,
    )
    assert events is not None
    assert stream is not None
    _answer(events)[MEDIA] = _media(_TEXT)
    _answer(stream).clear()
    _answer(stream)[MEDIA] = _media(_TEXT)
    file = paths["/api/executions/{execution_id}/artifacts/{artifact_id}/content"].get
    assert file is not None
    _answer(file).clear()
    content = {"*/*": _media({"type": "string", "format": "binary"})}
    _answer(file).update(content)
    assert file.responses is not None
    file.responses |= {
        "206": OpenAPIResponse(description="The bytes that `Range` asks for.", content=content),
        "304": OpenAPIResponse(description="It is the file that `If-None-Match` names."),
        "416": OpenAPIResponse(description="It has no such bytes."),
    }
    drawn = paths["/api/workflows/{slug}/graph"].get
    assert drawn is not None
    _answer(drawn)["text/plain"] = _media(_TEXT)


def _answer(operation: Operation) -> dict[str, OpenAPIMediaType]:
    found: Any = (operation.responses or {})["200"]
    content: dict[str, OpenAPIMediaType] = found.content if found.content is not None else {}
    found.content = content
    return content


def _media(schema: Any) -> OpenAPIMediaType:
    """Litestar writes a plain mapping out as it is, though its type asks for a Schema."""
    plain: Schema = schema
    return OpenAPIMediaType(schema=plain)
