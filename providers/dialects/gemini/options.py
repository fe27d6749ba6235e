"""Everything of a conversation but its turns → fields of the body.

What has no honest equivalent here, and why:
- `user`: there is no such field.
- More than 5 `stop` sequences and more than 8 choices, unless the gateway sees to the others (`fitting`); a `seed`
  beyond 32 bits: outside the ranges of the API reference.
- `metadata` becomes `labels`, whose keys and values are lower case letters, digits, `_` and `-`, 63 at most (the rule
  of Google Cloud's labels); any other is refused.
- `service_tier` beyond standard (elsewhere `default`), flex and priority. `auto` leaves it open and is left out.
- `image_url.detail` that is not the same for all pictures, or stands beside documents: `mediaResolution` is for all.
- Of a search of the web everything but that it may be done.
- A word and a budget of thinking at once: the API takes one of them. The word `max`: its scale ends at `xhigh`.

What is said in other ways: `strict` tools are the mode `VALIDATED` (for all of them), which a demanded call (`ANY`)
promises anyway; so is a choice of some of the tools, which the mode `AUTO` does not take. An answer bound to a schema
always follows it, so `strict` says nothing more; the schema's name and description go into it as `title` and
`description`, unless it has them or is a reference, which takes no neighbours.

Nothing keeps the model from calling several tools at once: `parallel_tool_calls: false` is kept on the way back, where
calls after the first are left out (`encode`, `providers.single`).

Thinking: a word is a `thinkingLevel`. Gemini 2.5 knows only budgets, which Google's table has for words (`efforts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from providers.chat import Conversation, Document, Effort, Image, Json, Part, ResponseFormat, Tool, ToolResult
from providers.dialects.efforts import BUDGETS
from providers.dialects.gemini.schema import alone
from providers.dialects.gemini.signatures import is_old
from providers.dialects.gemini.turns import Lost

MAX_STOPS = 5
MAX_CHOICES = 8
_INT32 = range(-(2**31), 2**31)
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_TIERS = {"auto": None, "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
_LEVELS = ("minimal", "low", "medium", "high", "xhigh")
#: The model decides how long to think.
_AUTOMATIC = -1
_RESOLUTIONS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}


def options(said: Conversation, model: str, lost: Lost) -> Json:
    """The fields that are not turns; what has no equivalent is named in `lost`."""
    body: Json = {}
    _tools(said, body)
    if said.search is not None:
        body["tools"] = [*body.get("tools", ()), {"googleSearch": {}}]
        lost.extend(said.search.lost())
    config = _sampling(said, lost)
    config |= _format(said.response_format)
    if said.effort and (thinking := _thinking(said.effort, is_old(model), lost)):
        config["thinkingConfig"] = thinking
    _resolution(said, config, lost)
    if config:
        body["generationConfig"] = config
    _account(said, body, lost)
    if said.store is not None:
        body["store"] = said.store
    lost.extend(said.extra)
    return body


def _sampling(said: Conversation, lost: Lost) -> Json:
    fields = {
        "maxOutputTokens": said.max_tokens,
        "temperature": said.temperature,
        "topP": said.top_p,
        "topK": said.top_k,
        "stopSequences": said.stop or None,
        "seed": said.seed,
        "presencePenalty": said.presence_penalty,
        "frequencyPenalty": said.frequency_penalty,
        "candidateCount": said.n if said.n > 1 else None,
        "responseLogprobs": said.logprobs or None,
        "logprobs": said.top_logprobs,
    }
    config: Json = {name: value for name, value in fields.items() if value is not None}
    beyond = {
        "stop": ("stopSequences", len(said.stop) > MAX_STOPS),
        "n": ("candidateCount", said.n > MAX_CHOICES),
        "seed": ("seed", said.seed is not None and said.seed not in _INT32),
    }
    for name, (field, is_beyond) in beyond.items():
        if is_beyond:
            lost.append(name)
            del config[field]
    return config


def _tools(said: Conversation, body: Json) -> None:
    """`tools` and `toolConfig`. Without tools a choice between them is no choice, unless it demands a call."""
    if said.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in said.tools]}]
    choice = said.tool_choice
    wanted = choice.mode if choice else "auto"
    if not said.tools and wanted in ("auto", "none"):
        return
    allowed = [choice.name] if choice and choice.name is not None else choice.allowed if choice else []
    bound = bool(allowed) or any(tool.strict for tool in said.tools)
    mode = "VALIDATED" if wanted == "auto" and bound else _MODES[wanted]
    if choice is None and mode == "AUTO":
        return
    config: Json = {"mode": mode}
    if allowed and mode != "NONE":
        config["allowedFunctionNames"] = allowed
    body["toolConfig"] = {"functionCallingConfig": config}


def _declaration(tool: Tool) -> Json:
    written: Json = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.parameters:
        written["parametersJsonSchema"] = alone(tool.parameters)
    return written


def _format(wanted: ResponseFormat | None) -> Json:
    if wanted is None or wanted.kind == "text":
        return {}
    written: Json = {"responseMimeType": "application/json"}
    if wanted.schema is not None:
        told = {"title": wanted.name, "description": wanted.description}
        named = {} if "$ref" in wanted.schema else {key: value for key, value in told.items() if value}
        written["responseJsonSchema"] = {**named, **alone(wanted.schema)}
    return written


def _thinking(effort: Effort, old: bool, lost: Lost) -> Json:
    if not effort.enabled or effort.level == "none":
        # The API refuses to show thoughts that it was told not to have.
        return {"thinkingBudget": 0}
    config: Json = {}
    if effort.show is not None:
        config["includeThoughts"] = effort.show
    if effort.budget is not None:
        config["thinkingBudget"] = effort.budget
        if effort.level is not None:
            lost.append("reasoning_effort")
    elif effort.level is None:
        if effort.show is None:
            config["thinkingBudget"] = _AUTOMATIC
    elif old and effort.level in BUDGETS:
        config["thinkingBudget"] = BUDGETS[effort.level]
    elif not old and effort.level in _LEVELS:
        config["thinkingLevel"] = effort.level.upper()
    else:
        lost.append("reasoning_effort")
    return config


def _resolution(said: Conversation, config: Json, lost: Lost) -> None:
    parts = list(_media(part for turn in said.turns for part in turn.parts))
    details = {part.detail or "auto" for part in parts if isinstance(part, Image)}
    if details <= {"auto"}:
        return
    if len(details) == 1 and details <= _RESOLUTIONS.keys() and all(isinstance(part, Image) for part in parts):
        config["mediaResolution"] = _RESOLUTIONS[details.pop()]
    else:
        lost.append("messages.content.image_url.detail")


def _media(parts: Iterator[Part]) -> Iterator[Image | Document]:
    for part in parts:
        if isinstance(part, (Image, Document)):
            yield part
        elif isinstance(part, ToolResult):
            yield from _media(iter(part.parts))


def _account(said: Conversation, body: Json, lost: Lost) -> None:
    """Who asks, and on what terms."""
    if said.user is not None:
        lost.append("user")
    if said.metadata:
        if all(_LABEL.fullmatch(key) and _LABEL_VALUE.fullmatch(value) for key, value in said.metadata.items()):
            body["labels"] = said.metadata
        else:
            lost.append("metadata")
    if said.service_tier is not None:
        tier = _TIERS.get(said.service_tier, "")
        if tier:
            body["serviceTier"] = tier
        elif tier == "":
            lost.append("service_tier")
