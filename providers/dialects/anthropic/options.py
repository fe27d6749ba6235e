"""Everything of a conversation but its turns → fields of the body.

What has no honest equivalent here, and why:
- `temperature` above 1: the scale ends at 1; clamping would be another request.
- `temperature`, `top_p`, `top_k` when the profile speaks API version 2026-10-21 or later, which removed them for every
  model, and of models that refuse them under 2023-06-01 too (`models`). Of both at once, where a model takes one of
  them, `top_p`. A `temperature` or `top_p` of 1 changes nothing about what is drawn, and is left out there. Beside
  thinking no Claude takes a `temperature` but 1, a `top_p` below 0.95 or a `top_k`.
- `seed`, `frequency_penalty`, `presence_penalty`, `logprobs`, `top_logprobs`, `n` above 1: there are no such fields. A
  penalty of 0 asks for nothing and is left out.
- `reasoning_effort: minimal`: the scale starts at `low`.
- how much of what a search finds is read (`search_context_size`): there is no such setting.
- `service_tier` beyond `auto` and `default`: those buy what Anthropic does not sell per request.
- `metadata` beside the user: Anthropic stores none.

Thinking: a word becomes `output_config.effort` beside adaptive thinking, because without it several models would not
think at all; a budget in tokens becomes manual thinking, which needs at least 1,024 and less than `max_tokens`. Models
before Claude 4.6 know only budgets, which Google's table has for words (`efforts`); those from 4.7 on know only words,
and a budget alone is the longest thinking that stays within it, by the same table. Beside a word it is lost.

Of tools of which only some may be called, those alone are declared: the API has no such choice, and a tool that is not
declared is not called.

Any JSON object (`response_format: json_object`): the API binds output to a schema and nothing less, and its schemas
close every object, so that one for all objects cannot be said (the official SDK closes them itself). A forced tool that
takes any object describes none, and no tool can be forced on a model that thinks first. So the model is told, at the
end of `system`, and the gateway sees to it: of the text the JSON is told without the fence or the words around it, and
the answer is judged (`Amends`). Of Gemini's callers, whose JSON need not be an object, any JSON is taken.

Structured output always binds, so `strict: false` gets more than it asked for. The name of the schema is a label
without effect here; its description goes where the model reads it, into the schema. What schemas it takes: `shapes`.
"""

from __future__ import annotations

from msgspec.structs import replace

from providers.chat import Conversation, Effort, Json, ResponseFormat, Tool
from providers.dialect import Target
from providers.dialects.anthropic import models
from providers.dialects.anthropic.shapes import closed
from providers.dialects.anthropic.turns import Lost
from providers.dialects.efforts import BUDGETS, word_within
from providers.searching import WebSearch

#: The API requires a bound. 4,096 is the smallest maximum among the models it has served with tools (Claude 3), so that
#: no model refuses it; it stands in only for models whose own maximum the catalog does not know.
DEFAULT_MAX_TOKENS = 4096
#: The first API version without `temperature`, `top_p` and `top_k`. Versions are dates, so they compare as text.
_WITHOUT_SAMPLING = "2026-10-21"
_MIN_BUDGET = 1024
_THINKS = ("enabled", "adaptive")
#: Of a Claude that thinks ("Extended thinking").
_LEAST_TOP_P = 0.95
_LEVELS = ("low", "medium", "high", "xhigh", "max")
_TIERS = {"auto": "auto", "default": "standard_only"}
#: The version that every model with a search takes; the later one runs code to sift what it found.
_SEARCH = {"type": "web_search_20250305", "name": "web_search"}
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


def options(said: Conversation, target: Target, lost: Lost) -> Json:
    """The fields that are not turns; what has no equivalent is named in `lost`."""
    effort, measure = said.effort, "effort.budget"
    if effort is not None and effort.budget is None and not models.adapts(target.upstream):
        effort, measure = _in_tokens(effort), "reasoning_effort"
    bound = _max_tokens(said, effort, target.max_output)
    if effort is not None and effort.budget is not None and not models.budgets(target.upstream):
        effort = _in_words(effort, effort.budget, lost)
    body: Json = {"max_tokens": bound}
    if said.stop:
        body["stop_sequences"] = said.stop
    _tools(said, body)
    if said.search is not None:
        _search(said.search, said.tools, body, lost)
    output_config = _thinking(effort, measure, bound, body, lost) if effort else {}
    _sampling(said, target, body, lost)
    if shape := _format(said.response_format, lost):
        output_config["format"] = shape
    if output_config:
        body["output_config"] = output_config
    if said.user is not None:
        body["metadata"] = {"user_id": said.user}
    if said.service_tier in _TIERS:
        body["service_tier"] = _TIERS[said.service_tier]
    elif said.service_tier is not None:
        lost.append("service_tier")
    _missing(said, lost)
    return body


def _in_tokens(effort: Effort) -> Effort:
    """A word as the budget that stands for it, where there is one."""
    if not effort.enabled or effort.level not in BUDGETS:
        return effort
    return replace(effort, level=None, budget=BUDGETS[effort.level])


def _in_words(effort: Effort, budget: int, lost: Lost) -> Effort | None:
    """A budget as the word for the longest thinking within it; beside a word, or too small for one, it is lost."""
    if effort.level is None and budget >= _MIN_BUDGET:
        return replace(effort, level=word_within(budget), budget=None)
    lost.append("effort.budget")
    return replace(effort, budget=None) if effort.level is not None else None


def _max_tokens(said: Conversation, effort: Effort | None, max_output: int | None) -> int:
    if said.max_tokens is not None:
        return said.max_tokens
    if max_output is not None:
        return max_output
    budget = effort.budget if effort else None
    return DEFAULT_MAX_TOKENS + (budget or 0)


def samples(target: Target) -> bool:
    """Whether it takes `temperature`, `top_p` and `top_k`, by its API's version and its name."""
    return target.profile.anthropic_version < _WITHOUT_SAMPLING and models.samples(target.upstream)


def thinks(body: Json) -> bool:
    """Whether this body asks the model to think."""
    return body.get("thinking", {}).get("type") in _THINKS


def _sampling(said: Conversation, target: Target, body: Json, lost: Lost) -> None:
    taken = samples(target)
    asked = {"temperature": said.temperature, "top_p": said.top_p, "top_k": said.top_k}
    asked = {name: value for name, value in asked.items() if value is not None}
    is_one_too_many = {"temperature", "top_p"} <= asked.keys() and not models.samples_doubly(target.upstream)
    if not taken or is_one_too_many:
        asked = {name: value for name, value in asked.items() if name == "top_k" or value != 1}
    alone = thinks(body) and not models.samples_thinking(target.upstream)
    for name, value in asked.items():
        too_hot = name == "temperature" and value > 1
        second = name == "top_p" and is_one_too_many and "temperature" in body
        if taken and not too_hot and not second and (not alone or _beside_thinking(name, value)):
            body[name] = value
        else:
            lost.append(name)


def _beside_thinking(name: str, value: float) -> bool:
    """Whether a Claude that thinks takes this."""
    return (name == "temperature" and value == 1) or (name == "top_p" and value >= _LEAST_TOP_P)


def _missing(said: Conversation, lost: Lost) -> None:
    """Name what the API has no field for at all."""
    asked = {
        "seed": said.seed is not None,
        "frequency_penalty": bool(said.frequency_penalty),
        "presence_penalty": bool(said.presence_penalty),
        "logprobs": said.logprobs,
        "top_logprobs": said.top_logprobs is not None,
        "n": said.n > 1,
        "metadata": bool(said.metadata),
        "store": bool(said.store),
    }
    lost.extend(name for name, is_asked in asked.items() if is_asked)
    lost.extend(said.extra)


def _tools(said: Conversation, body: Json) -> None:
    """`tools` and `tool_choice`. Without tools a choice between them is no choice, unless it demands a call."""
    choice = said.tool_choice
    allowed = choice.allowed if choice else []
    if tools := [tool for tool in said.tools if not allowed or tool.name in allowed]:
        body["tools"] = [_tool(tool) for tool in tools]
    mode = choice.mode if choice else "auto"
    one_at_a_time = said.parallel_tool_calls is False and mode != "none"
    if (choice is None and not one_at_a_time) or (not tools and mode in ("auto", "none")):
        return
    written: Json = {"type": _CHOICES[mode]}
    if choice and choice.name is not None:
        written["name"] = choice.name
    if one_at_a_time:
        written["disable_parallel_tool_use"] = True
    body["tool_choice"] = written


def _search(search: WebSearch, tools: list[Tool], body: Json, lost: Lost) -> None:
    if any(tool.name == _SEARCH["name"] for tool in tools):
        lost.append(search.path)  # two tools of one name are refused
        return
    fields = {
        "max_uses": search.uses,
        "allowed_domains": search.allowed,
        "blocked_domains": search.blocked,
        "user_location": {"type": "approximate", **search.location} if search.location else None,
    }
    said = {name: value for name, value in fields.items() if value}
    body["tools"] = [*body.get("tools", ()), {**_SEARCH, **said}]
    lost.extend(search.lost("location", "allowed", "blocked", "uses"))


def _tool(tool: Tool) -> Json:
    # The API wants the type said; JSON schema and everybody else take its absence for a function's arguments.
    schema = tool.parameters or {"properties": {}}
    written: Json = {"name": tool.name, "input_schema": {"type": "object", **schema}}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.strict is not None:
        written["strict"] = tool.strict
    if tool.cache_control is not None:
        written["cache_control"] = tool.cache_control
    return written


def _format(wanted: ResponseFormat | None, lost: Lost) -> Json | None:
    if wanted is None or wanted.kind == "text":
        return None
    if wanted.kind == "json_object":
        return None
    if wanted.schema is None:
        lost.append("response_format.json_schema")
        return None
    schema = closed(wanted.schema)
    if wanted.description is not None and "description" not in schema:
        schema = {**schema, "description": wanted.description}
    return {"type": "json_schema", "schema": schema}


def _thinking(effort: Effort, measure: str, bound: int, body: Json, lost: Lost) -> Json:
    """Set `thinking`; the answer is `output_config` with the level, if any. A budget was said as `measure`."""
    config: Json = {}
    if effort.level in _LEVELS:
        config["effort"] = effort.level
    elif effort.level is not None:
        lost.append("reasoning_effort")
    if not effort.enabled:
        body["thinking"] = {"type": "disabled"}
        return config
    if effort.budget is None:
        if effort.level is None or config:
            body["thinking"] = {"type": "adaptive"}
    elif _MIN_BUDGET <= effort.budget < bound:
        body["thinking"] = {"type": "enabled", "budget_tokens": effort.budget}
    else:
        lost.append(measure)
    if effort.show is not None and "thinking" in body:
        body["thinking"]["display"] = "summarized" if effort.show else "omitted"
    return config
