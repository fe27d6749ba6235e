"""Features that are fields of the request: sampling, bounds, shapes, terms."""

from __future__ import annotations

from tests.fidelity.cells import Feature, Gap, at, every, has, no, says
from tests.fidelity.wire import ASKED, DIALECTS, Json, anthropic_reply, gemini_reply, openai_reply

SCHEMA: Json = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
#: An answer in JSON.
OBJECT = '{"name": "Ann", "tags": ["a}"]}'


def o(*messages: Json, **fields: object) -> Json:
    """A question in OpenAI's format."""
    return _question("openai", "messages", messages, fields)


def a(*messages: Json, **fields: object) -> Json:
    """A question in Anthropic's format."""
    return _question("anthropic", "messages", messages, fields)


def g(*contents: Json, **fields: object) -> Json:
    """A question in Gemini's format."""
    return _question("gemini", "contents", contents, fields)


def _question(ingress: str, name: str, said: tuple[Json, ...], fields: Json) -> Json:
    return {**ASKED[ingress], **({name: list(said)} if said else {}), **fields}


def gc(**config: object) -> Json:
    """The same with a generation config."""
    return g(generationConfig=config)


_BY_TABLE = "the longest thinking that stays within it, by Google's table of words and tokens"
_NO_PENALTIES = Gap("Anthropic's API has no penalties.", ("frequency_penalty", "presence_penalty"))
_NO_LOGPROBS = Gap("Anthropic's API tells no token probabilities.", ("logprobs", "top_logprobs"))
_NO_N = Gap("Anthropic's API gives one answer to a request.", ("n",))
_NO_SEED = Gap("Anthropic's API has no seed.", ("seed",))
_NOBODY = {name: Gap("What nobody knows, nobody can translate.", but=("orchestrate",)) for name in DIALECTS}
_LOGPROBS: Json = {
    "content": [{"token": "Hello", "logprob": -0.25, "bytes": None, "top_logprobs": []}],
    "refusal": None,
}
_GEMINI_LOGPROBS: Json = {
    "chosenCandidates": [{"token": "Hello", "logProbability": -0.25}],
    "topCandidates": [{"candidates": []}],
}

SAMPLING = [
    Feature(
        "temperature",
        {"openai": o(temperature=0.25), "anthropic": a(temperature=0.25), "gemini": gc(temperature=0.25)},
        {
            "openai": at("temperature", 0.25),
            "anthropic": at("temperature", 0.25),
            "gemini": at("generationConfig.temperature", 0.25),
        },
        older=True,
    ),
    Feature(
        "temperature, of the newest models",
        {"openai": o(temperature=0.25), "anthropic": a(temperature=0.25), "gemini": gc(temperature=0.25)},
        {
            "openai": at("temperature", 0.25),
            "anthropic": at("temperature", 0.25),
            "gemini": at("generationConfig.temperature", 0.25),
        },
        gaps={"anthropic": Gap("From Claude Opus 4.7 on the API refuses sampling at anything but its defaults.")},
        loose=True,
    ),
    Feature(
        "temperature and top_p",
        {
            "openai": o(temperature=0.25, top_p=0.5),
            "anthropic": a(temperature=0.25, top_p=0.5),
            "gemini": gc(temperature=0.25, topP=0.5),
        },
        {
            "openai": every(at("temperature", 0.25), at("top_p", 0.5)),
            "anthropic": every(at("temperature", 0.25), at("top_p", 0.5)),
            "gemini": every(at("generationConfig.temperature", 0.25), at("generationConfig.topP", 0.5)),
        },
        gaps={"anthropic": Gap("From Claude Opus 4.1 on the API takes one of the two; the temperature is kept.")},
        loose=True,
        older=True,
    ),
    Feature(
        "temperature above 1",
        {"openai": o(temperature=1.5), "gemini": gc(temperature=1.5)},
        {
            "openai": at("temperature", 1.5),
            "anthropic": at("temperature", 1.5),
            "gemini": at("generationConfig.temperature", 1.5),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's scale ends at 1."),
            "anthropic": Gap("Anthropic's scale ends at 1; clamping would be another request."),
        },
        older=True,
    ),
    Feature(
        "top_p",
        {"openai": o(top_p=0.5), "anthropic": a(top_p=0.5), "gemini": gc(topP=0.5)},
        {"openai": at("top_p", 0.5), "anthropic": at("top_p", 0.5), "gemini": at("generationConfig.topP", 0.5)},
        older=True,
    ),
    Feature(
        "top_k",
        {"anthropic": a(top_k=20), "gemini": gc(topK=20)},
        {"openai": at("top_k", 20), "anthropic": at("top_k", 20), "gemini": at("generationConfig.topK", 20)},
        gaps={
            "ask:openai": Gap("OpenAI's API has no top_k.", ("top_k",)),
            "openai": Gap("OpenAI's API has no top_k.", ("top_k",)),
        },
        older=True,
    ),
    Feature(
        "penalties",
        {
            "openai": o(frequency_penalty=0.5, presence_penalty=-0.5),
            "gemini": gc(frequencyPenalty=0.5, presencePenalty=-0.5),
        },
        {
            "openai": every(at("frequency_penalty", 0.5), at("presence_penalty", -0.5)),
            "anthropic": at("frequency_penalty", 0.5),
            "gemini": every(at("generationConfig.frequencyPenalty", 0.5), at("generationConfig.presencePenalty", -0.5)),
        },
        gaps={"ask:anthropic": _NO_PENALTIES, "anthropic": _NO_PENALTIES},
    ),
    Feature(
        "seed",
        {"openai": o(seed=42), "gemini": gc(seed=42)},
        {"openai": at("seed", 42), "anthropic": at("seed", 42), "gemini": at("generationConfig.seed", 42)},
        gaps={"ask:anthropic": _NO_SEED, "anthropic": _NO_SEED},
    ),
    Feature(
        "stop sequence",
        {"openai": o(stop="END"), "anthropic": a(stop_sequences=["END"]), "gemini": gc(stopSequences=["END"])},
        {
            "openai": at("stop", "END", ["END"]),
            "anthropic": at("stop_sequences", ["END"]),
            "gemini": at("generationConfig.stopSequences", ["END"]),
        },
    ),
    Feature(
        "five stop sequences",
        {"anthropic": a(stop_sequences=list("VWXYZ")), "gemini": gc(stopSequences=list("VWXYZ"))},
        {
            "openai": at("stop", list("VWXY")),
            "anthropic": at("stop_sequences", list("VWXYZ")),
            "gemini": at("generationConfig.stopSequences", list("VWXYZ")),
        },
        {"openai": openai_reply({"content": "Good day.ZBeyond."})},
        {ingress: no(says("Beyond")) for ingress in ("anthropic", "gemini")},
        gaps={
            "ask:openai": Gap("OpenAI's API takes four stop sequences at most."),
        },
        absence=True,
        notes={"openai": "it takes four at most; the gateway looks for the fifth itself"},
    ),
    Feature(
        "logprobs",
        {"openai": o(logprobs=True, top_logprobs=2), "gemini": gc(responseLogprobs=True, logprobs=2)},
        {
            "openai": every(at("logprobs", True), at("top_logprobs", 2)),
            "anthropic": at("logprobs", True),
            "gemini": every(at("generationConfig.responseLogprobs", True), at("generationConfig.logprobs", 2)),
        },
        {
            "openai": openai_reply(choice={"logprobs": _LOGPROBS}),
            "gemini": gemini_reply(candidate={"logprobsResult": _GEMINI_LOGPROBS}),
        },
        {"openai": has(token="Hello", logprob=-0.25), "gemini": has(token="Hello", logProbability=-0.25)},
        gaps={"ask:anthropic": _NO_LOGPROBS, "anthropic": _NO_LOGPROBS},
    ),
    Feature(
        "two answers (n)",
        {"openai": o(n=2), "gemini": gc(candidateCount=2)},
        {"openai": at("n", 2), "gemini": at("generationConfig.candidateCount", 2)},
        {
            "openai": {
                **openai_reply(),
                "choices": [
                    openai_reply()["choices"][0],
                    {**openai_reply({"content": "Good day."})["choices"][0], "index": 1},
                ],
            },
            "gemini": {
                **gemini_reply(),
                "candidates": [
                    gemini_reply()["candidates"][0],
                    {**gemini_reply({"text": "Good day."})["candidates"][0], "index": 1},
                ],
            },
            "anthropic": anthropic_reply({"type": "text", "text": "Good day."}),
        },
        {
            "openai": has(index=1, message={"content": "Good day."}),
            "gemini": every(has(index=1), has(text="Good day.")),
        },
        gaps={"ask:anthropic": _NO_N},
        notes={"anthropic": "it gives one answer to a request, and the gateway asks it twice"},
    ),
    Feature(
        "logit bias",
        {"openai": o(logit_bias={"50256": -100})},
        {"openai": at("logit_bias.50256", -100), "anthropic": says("50256"), "gemini": says("50256")},
        gaps={
            "ask:anthropic": Gap("Anthropic's API has no bias of tokens.", ("logit_bias",)),
            "ask:gemini": Gap("Gemini's API has no bias of tokens.", ("logitBias", "logit_bias")),
            "anthropic": Gap("Anthropic's API has no bias of tokens.", ("logit_bias",)),
            "gemini": Gap("Gemini's API has no bias of tokens.", ("logitBias", "logit_bias")),
        },
    ),
]

BOUNDS = [
    Feature(
        "bound of the answer (max tokens)",
        {"openai": o(max_tokens=77), "anthropic": {**a(), "max_tokens": 77}, "gemini": gc(maxOutputTokens=77)},
        {
            "openai": lambda body: 77 in (body.get("max_tokens"), body.get("max_completion_tokens")),
            "anthropic": at("max_tokens", 77),
            "gemini": at("generationConfig.maxOutputTokens", 77),
        },
    ),
    Feature(
        "no bound of the answer",
        {"openai": o(), "gemini": g()},
        {
            "openai": no(says("max_tokens")),
            "anthropic": lambda body: body["max_tokens"] >= 4096,
            "gemini": no(says("maxOutputTokens")),
        },
        gaps={"ask:anthropic": Gap("Anthropic's API requires a bound.")},
        notes={"anthropic": "the model's own maximum, or 4,096 where it is not known"},
        absence=True,
    ),
    Feature(
        "answer in a JSON schema",
        {
            "openai": o(
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "person", "schema": SCHEMA, "strict": True},
                }
            ),
            "anthropic": a(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
            "gemini": gc(responseMimeType="application/json", responseJsonSchema=SCHEMA),
        },
        {
            "openai": has(type="json_schema", json_schema={"schema": SCHEMA}),
            "anthropic": has(format={"type": "json_schema", "schema": SCHEMA}),
            "gemini": has(responseMimeType="application/json", responseJsonSchema=SCHEMA),
        },
    ),
    Feature(
        "answer in any JSON",
        {
            "openai": o({"role": "user", "content": "Give me json."}, response_format={"type": "json_object"}),
            "gemini": g(
                {"role": "user", "parts": [{"text": "Give me json."}]},
                generationConfig={"responseMimeType": "application/json"},
            ),
        },
        {
            "openai": at("response_format.type", "json_object"),
            "anthropic": every(says("Answer with one JSON"), no(says("output_config"))),
            "gemini": at("generationConfig.responseMimeType", "application/json"),
        },
        {
            "openai": openai_reply({"content": OBJECT}),
            # What models say that are told in words.
            "anthropic": anthropic_reply({"type": "text", "text": f"Here you are:\n```json\n{OBJECT}\n```"}),
            "gemini": gemini_reply({"text": OBJECT}),
        },
        {
            "openai": at("choices.0.message.content", OBJECT),
            "gemini": at("candidates.0.content.parts.0.text", OBJECT),
        },
        gaps={
            "ask:anthropic": Gap(
                "Anthropic's API binds an answer to a schema and to nothing less.", ("response_format",)
            ),
        },
        notes={
            "anthropic": "it has no such mode: the model is told in words, of its answer the JSON is told without the "
            "fence or the words around it, and what is no JSON object is an error"
        },
    ),
    Feature(
        "stop reason: bound reached",
        {"openai": o(), "anthropic": a(), "gemini": g()},
        reply={
            "openai": openai_reply(finish="length"),
            "anthropic": anthropic_reply(stop="max_tokens"),
            "gemini": gemini_reply(finish="MAX_TOKENS"),
        },
        got={
            "openai": at("choices.0.finish_reason", "length"),
            "anthropic": at("stop_reason", "max_tokens"),
            "gemini": at("candidates.0.finishReason", "MAX_TOKENS"),
        },
    ),
]

THINKING = [
    Feature(
        "reasoning effort (a word)",
        {
            "openai": o(reasoning_effort="high"),
            "anthropic": a(thinking={"type": "adaptive"}, output_config={"effort": "high"}),
            "gemini": gc(thinkingConfig={"thinkingLevel": "HIGH"}),
        },
        {
            "openai": at("reasoning_effort", "high"),
            "anthropic": every(at("output_config.effort", "high"), at("thinking.type", "adaptive")),
            "gemini": at("generationConfig.thinkingConfig.thinkingLevel", "HIGH", "high"),
        },
    ),
    Feature(
        "reasoning budget (tokens)",
        {
            "anthropic": a(thinking={"type": "enabled", "budget_tokens": 2048}),
            "gemini": gc(maxOutputTokens=3000, thinkingConfig={"thinkingBudget": 2048}),
        },
        {
            "openai": at("reasoning_effort", "low"),
            "anthropic": at("thinking.budget_tokens", 2048),
            "gemini": at("generationConfig.thinkingConfig.thinkingBudget", 2048),
        },
        gaps={"ask:openai": Gap("OpenAI's API measures thinking in words.", ("thinking", "thinking_budget"))},
        notes={"openai": _BY_TABLE},
        older=True,
    ),
    Feature(
        "reasoning budget (tokens), of the newest models",
        {"gemini": gc(maxOutputTokens=30000, thinkingConfig={"thinkingBudget": 9000})},
        {
            "openai": at("reasoning_effort", "medium"),
            "anthropic": every(at("output_config.effort", "medium"), at("thinking.type", "adaptive")),
            "gemini": at("generationConfig.thinkingConfig.thinkingBudget", 9000),
        },
        gaps={
            "ask:openai": Gap("OpenAI's API measures thinking in words.", ("thinking", "thinking_budget")),
            "ask:anthropic": Gap("From Claude Opus 4.7 on the API refuses budgets of its own callers, too."),
        },
        notes={"openai": _BY_TABLE, "anthropic": _BY_TABLE},
    ),
    Feature(
        "reasoning switched off",
        {
            "openai": o(reasoning_effort="none"),
            "anthropic": a(thinking={"type": "disabled"}),
            "gemini": gc(thinkingConfig={"thinkingBudget": 0}),
        },
        {
            "openai": at("reasoning_effort", "none"),
            "anthropic": at("thinking.type", "disabled"),
            "gemini": at("generationConfig.thinkingConfig.thinkingBudget", 0),
        },
    ),
    Feature(
        "reasoning to be shown",
        {
            "anthropic": a(thinking={"type": "adaptive", "display": "summarized"}),
            "gemini": gc(thinkingConfig={"includeThoughts": True}),
        },
        {
            "openai": says("show"),
            "anthropic": at("thinking.display", "summarized"),
            "gemini": at("generationConfig.thinkingConfig.includeThoughts", True),
        },
        gaps={
            "ask:openai": Gap("Chat Completions keeps thoughts to itself.", ("reasoning", "include_thoughts")),
            "openai": Gap("Chat Completions keeps thoughts to itself.", ("reasoning", "include_thoughts")),
        },
    ),
]

TERMS = [
    Feature(
        "user",
        {"openai": o(user="user-7"), "anthropic": a(metadata={"user_id": "user-7"})},
        {"openai": at("user", "user-7"), "anthropic": at("metadata.user_id", "user-7"), "gemini": says("user-7")},
        gaps={
            "ask:gemini": Gap("Gemini's API has no field for whom a request is made.", ("user",)),
            "gemini": Gap("Gemini's API has no field for whom a request is made.", ("user",)),
        },
    ),
    Feature(
        "metadata",
        {"openai": o(metadata={"team": "blue"}), "gemini": g(labels={"team": "blue"})},
        {
            "openai": at("metadata.team", "blue"),
            "anthropic": at("metadata.team", "blue"),
            "gemini": at("labels.team", "blue"),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's API keeps no labels; its metadata is the user alone."),
            "anthropic": Gap("Anthropic's API keeps no labels; its metadata is the user alone.", ("labels",)),
        },
    ),
    Feature(
        "service tier: standard",
        {
            "openai": o(service_tier="default"),
            "anthropic": a(service_tier="standard_only"),
            "gemini": g(serviceTier="standard"),
        },
        {
            "openai": at("service_tier", "default"),
            "anthropic": at("service_tier", "standard_only"),
            "gemini": at("serviceTier", "standard"),
        },
    ),
    Feature(
        "service tier: flex",
        {"openai": o(service_tier="flex"), "gemini": g(serviceTier="flex")},
        {
            "openai": at("service_tier", "flex"),
            "anthropic": at("service_tier", "flex"),
            "gemini": at("serviceTier", "flex"),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic sells no such tier by the request."),
            "anthropic": Gap("Anthropic sells no such tier by the request."),
        },
    ),
    Feature(
        "storing the answer",
        {"openai": o(store=True), "gemini": g(store=True)},
        {"openai": at("store", True), "anthropic": at("store", True), "gemini": at("store", True)},
        notes={"openai": "among stored completions", "gemini": "in the project's logs"},
        gaps={
            "ask:anthropic": Gap("Anthropic's API stores no answers.", ("store",)),
            "anthropic": Gap("Anthropic's API stores no answers.", ("store",)),
        },
    ),
    Feature(
        "verbosity",
        {"openai": o(verbosity="low")},
        {"openai": at("verbosity", "low"), "anthropic": says("verbosity"), "gemini": says("verbosity")},
        gaps={
            "ask:anthropic": Gap("Anthropic's API has no such field.", ("verbosity",)),
            "ask:gemini": Gap("Gemini's API has no such field.", ("verbosity",)),
            "anthropic": Gap("Anthropic's API has no such field.", ("verbosity",)),
            "gemini": Gap("Gemini's API has no such field.", ("verbosity",)),
        },
    ),
    Feature(
        "safety settings",
        {"gemini": g(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}])},
        {"openai": says("HARASSMENT"), "anthropic": says("HARASSMENT"), "gemini": has(threshold="BLOCK_NONE")},
        gaps={
            "ask:openai": Gap("OpenAI's API has no thresholds to set.", ("safety_settings",)),
            "ask:anthropic": Gap("Anthropic's API has no thresholds to set.", ("safety_settings",)),
            "openai": Gap("OpenAI's API has no thresholds to set.", ("safety_settings",)),
            "anthropic": Gap("Anthropic's API has no thresholds to set.", ("safety_settings",)),
        },
    ),
    Feature(
        "a field nobody knows",
        {"openai": o(from_the_future=[1.0]), "anthropic": a(from_the_future=[1.0]), "gemini": g(fromTheFuture=[1.0])},
        {"openai": says("future"), "anthropic": says("future"), "gemini": says("Future")},
        gaps=_NOBODY,
        loose=True,
    ),
    Feature(
        "an unknown field inside a message",
        {
            "openai": o({"role": "user", "content": "Hi", "mood": "blue"}),
            "anthropic": a({"role": "user", "content": [{"type": "text", "text": "Hi", "mood": "blue"}]}),
            "gemini": g({"role": "user", "parts": [{"text": "Hi", "mood": "blue"}]}),
        },
        {"openai": has(mood="blue"), "anthropic": has(mood="blue"), "gemini": has(mood="blue")},
        gaps=_NOBODY,
        loose=True,
    ),
]
