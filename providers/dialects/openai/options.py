"""Everything of a conversation but its turns → fields of the body.

What has no honest equivalent here, and why:
- `top_k`: the API has no such field;
- `stop` beyond four sequences, which is the most the API takes, unless the gateway looks for the others (`fitting`);
- `effort.budget` beside a word: thinking is measured in words, and the word is the one that was given;
- `effort.show`, when demanded: the API keeps thoughts to itself. Servers that show them do so unasked;
- sites to search and times to do it, of a search of the web; and the search itself on servers that know none;
- what the server's profile switches off: `json_schema`, `reasoning_effort`. One tool call at a time, which it may
  switch off too, is then kept on the way back (`encode`, `providers.single`).

A budget alone is the longest thinking that stays within it (`efforts`). Thinking switched off is
`reasoning_effort: none`, and thinking without a measure is the model's own default. The API
wants a name for every schema, and other dialects have none: there it is called `response`. Cache markers on tools have
no effect: the API caches by itself, and only its newest models take markers, on messages.
"""

from __future__ import annotations

from providers.chat import Conversation, Effort, Json, ResponseFormat, Tool, ToolChoice
from providers.dialect import Profile
from providers.dialects.efforts import word_within
from providers.dialects.openai.turns import Lost
from providers.dialects.schemas import rewritten
from providers.searching import WebSearch

#: The name a schema gets that has none. It is a label for the model and has no further effect.
_SCHEMA_NAME = "response"
#: "Up to 4 sequences", says the API reference.
MAX_STOPS = 4
#: Fields with the same name and the same meaning on both sides; their default asks for nothing.
_ALIKE = (
    "temperature",
    "top_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "top_logprobs",
    "user",
    "metadata",
    "service_tier",
)
#: Fields of the Responses API that only this dialect can say as well.
_RESPONSES = {"text.verbosity": "verbosity"}


def options(said: Conversation, profile: Profile, lost: Lost) -> Json:
    """The fields that are not turns; what has no equivalent is named in `lost`."""
    body: Json = {}
    for name in _ALIKE:
        value = getattr(said, name)
        if value is not None and value != [] and value != {}:
            body[name] = value
    if len(said.stop) > MAX_STOPS:
        lost.append("stop")
        del body["stop"]
    _answer(said, profile, body)
    _tools(said, profile, body)
    if said.response_format is not None:
        _format(said.response_format, profile, body, lost)
    if said.effort is not None:
        _effort(said.effort, profile, body, lost)
    if said.top_k is not None:
        lost.append("top_k")
    if said.search is not None:
        _search(said.search, profile, body, lost)
    body |= {_RESPONSES[name]: value for name, value in said.extra.items() if name in _RESPONSES}
    lost.extend(name for name in said.extra if name not in _RESPONSES)
    return body


def _answer(said: Conversation, profile: Profile, body: Json) -> None:
    """How much is answered, and with what beside it."""
    if said.max_tokens is not None:
        body[profile.max_tokens_field] = said.max_tokens
    if said.n > 1:
        body["n"] = said.n
    if said.logprobs:
        body["logprobs"] = True
    if said.store:
        body["store"] = True
    if said.cache_key is not None and profile.prompt_cache_key:
        body["prompt_cache_key"] = said.cache_key


def _tools(said: Conversation, profile: Profile, body: Json) -> None:
    """Tools and how they are chosen. Without tools the API refuses both fields, and there is nothing to choose."""
    choice = said.tool_choice
    if said.tools:
        body["tools"] = [tool_of(tool) for tool in said.tools]
    elif choice is None or choice.mode in ("auto", "none"):
        return
    if choice is not None:
        body["tool_choice"] = choice_of(choice)
    if said.parallel_tool_calls is not None and profile.parallel_tool_calls:
        body["parallel_tool_calls"] = said.parallel_tool_calls


def tool_of(tool: Tool) -> Json:
    """A tool as the API writes it."""
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = rewritten(tool.parameters, _filled)
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _filled(schema: Json) -> Json:
    """The API refuses an object without properties and an array without items ("object schema missing properties")."""
    given = schema.get("type")
    for kind, name in (("object", "properties"), ("array", "items")):
        if kind in (given if isinstance(given, list) else (given,)):
            schema.setdefault(name, {})
    return schema


def choice_of(choice: ToolChoice) -> str | Json:
    """A choice of tools as the API writes it."""
    if choice.allowed and choice.mode != "none":
        some = [{"type": "function", "function": {"name": name}} for name in choice.allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": some}}
    return {"type": "function", "function": {"name": choice.name}} if choice.mode == "named" else choice.mode


def _format(wanted: ResponseFormat, profile: Profile, body: Json, lost: Lost) -> None:
    if wanted.kind != "json_schema":
        body["response_format"] = {"type": wanted.kind}
        return
    if not profile.json_schema:
        lost.append("response_format.json_schema")
        return
    schema: Json = {"name": wanted.name or _SCHEMA_NAME}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.schema is not None:
        schema["schema"] = wanted.schema
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _search(search: WebSearch, profile: Profile, body: Json, lost: Lost) -> None:
    if not profile.web_search:
        lost.append(search.path)
        return
    options: Json = {}
    if search.size is not None:
        options["search_context_size"] = search.size
    if search.location is not None:
        options["user_location"] = {"type": "approximate", "approximate": search.location}
    body["web_search_options"] = options
    lost.extend(search.lost("size", "location"))


def _effort(effort: Effort, profile: Profile, body: Json, lost: Lost) -> None:
    level = effort.level
    if effort.enabled and effort.budget is not None:
        if level is not None:
            lost.append("effort.budget")
        level = level or word_within(effort.budget)
    if effort.enabled and effort.show and not effort.show_if_any:
        lost.append("effort.show")
    level = level if effort.enabled else "none"
    if level is None:
        return
    if profile.reasoning_effort:
        body["reasoning_effort"] = level
    elif not effort.enabled:
        lost.append("effort.enabled")
    else:
        lost.append("effort.budget" if effort.level is None else "reasoning_effort")
