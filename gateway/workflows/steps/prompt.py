"""A prompt: one request through the pipeline that serves HTTP, hence with its routing, cache, cost and record.

The surface is `workflow`, the principal the key that started the execution, and the record's tags name execution and
node. An `output_schema` is asked for in the provider's own way where it has one, and every answer is validated: one
that does not follow it is a transient fault, for the next try may.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import msgspec

from gateway.asking import Ask, Wanted
from gateway.calls import Chat
from gateway.capping import TOO_DEAR
from gateway.catalog import Asked
from gateway.errors import GatewayError
from gateway.exchange import Exchange, Preferences
from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.pipeline import Pipeline
from gateway.tracing.places import below
from gateway.workflows.bind import Scope
from gateway.workflows.budget import PurseCap
from gateway.workflows.kept import Execution, Failure, Spent, Tried
from gateway.workflows.running import Context, Result, StepFailed
from gateway.workflows.spec import WEIGHTS, Json, Prompt
from providers.chat import ChatReply, Text, ToolCall
from providers.dialects import OPENAI

SURFACE = "workflow"
#: Machine codes of failures that the same question meets again, whatever their status.
_FINAL = frozenset({"insufficient_quota", "context_length_exceeded", TOO_DEAR})
#: How many providers a race asks at once, as at `/api/llm/orchestrate`.
_RACERS = 2
_COPIED = ("temperature", "top_p", "max_tokens", "stop", "seed", "reasoning_effort", "tools", "tool_choice")
_json = msgspec.json.Decoder()


class Prompts:
    """Asks models."""

    def __init__(
        self,
        pipeline: Callable[[], Pipeline],
        caller: Callable[[Execution], Principal],
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """By this pipeline, which may be another one after a reload; `caller` knows whose key began an execution."""
        self._pipeline = pipeline
        self._caller = caller
        self._wall = wall
        self._monotonic = monotonic
        self._rng = rng

    async def __call__(self, context: Context, node: Prompt, known: Scope) -> Result:
        """Ask. Raises `StepFailed`."""
        async with context.purse.opened() if context.purse else nullcontext() as cap:
            exchange = self._exchange(context, node, cap)
            try:
                reply = await self._ask(exchange, node, context.idempotency_key)
            except GatewayError as exc:
                failure = _failure(exc, context, exchange)
                raise StepFailed(failure, transient=_transient(exc), spent=self._spent(exchange)) from exc
            finally:
                if cap is not None:
                    cap.cost = exchange.cost
        return self._result(exchange, node, reply)

    async def _ask(self, exchange: Exchange, node: Prompt, name: str) -> ChatReply:
        body = msgspec.json.encode(question(node))
        request = OPENAI.parse(body)
        asked = Asked(request.needs, request.input_tokens, request.max_tokens or 0, exchange.preferences.providers)
        wanted = Wanted(Chat(request, OPENAI, drop=False, name=name), asked, request.max_tokens)
        ask = Ask(exchange, wanted, body, "native", deterministic=request.temperature == 0)
        kept = await self._pipeline().reply(ask)
        return OPENAI.decode(kept.pieces[0])

    def _exchange(self, context: Context, node: Prompt, cap: PurseCap | None) -> Exchange:
        now, step = self._wall(), context.step
        exchange = Exchange(
            id=new_id("req", now, self._rng),
            created=now,
            began=self._monotonic(),
            surface=SURFACE,
            dialect=OPENAI.name,
            principal=context.execution.key_name,
            caller=self._caller(context.execution),
            requested_model=node.model,
            stream=False,
            preferences=_preferences(node),
            tags={"execution_id": step.execution_id, "workflow": context.execution.slug, "node": step.node_id},
            trace=below(f"prompt {step.node_id}"),
        )
        exchange.cap = cap
        return exchange

    def _result(self, exchange: Exchange, node: Prompt, reply: ChatReply) -> Result:
        choice = reply.choices[0]
        text = "".join(part.text for part in choice.parts if isinstance(part, Text))
        output: Json = {
            "text": text,
            "provider": exchange.provider,
            "model": exchange.model,
            "finish_reason": choice.finish_reason,
        }
        calls = [part for part in choice.parts if isinstance(part, ToolCall)]
        if calls:
            output["tool_calls"] = [{"id": one.id, "name": one.name, "arguments": one.arguments} for one in calls]
        if node.output_schema is not None:
            try:
                output = _json.decode(text)
            except msgspec.DecodeError as exc:
                # A call of a tool, say, which no schema binds.
                failure = Failure("api_error", "The answer is no output that follows the schema.", "invalid_output")
                raise StepFailed(failure, transient=True, spent=self._spent(exchange)) from exc
        return Result(
            output,
            spent=self._spent(exchange),
            provider=exchange.provider,
            model=exchange.model,
            request_ids=[exchange.id],
        )

    def _spent(self, exchange: Exchange) -> Spent:
        usage = exchange.usage
        # Of those who ask the same at once one pays, and has the tokens on its bill.
        if exchange.cache == "hit" or (exchange.cache == "coalesced" and not exchange.cost):
            return Spent(cached_steps=1, saved_usd=self._pipeline().worth(exchange))
        return Spent(exchange.cost, usage.input_tokens, usage.output_tokens)


def question(node: Prompt) -> Json:
    """The request in OpenAI's vocabulary. The node's templates are filled in."""
    messages = node.messages if node.messages is not None else [{"role": "user", "content": node.prompt}]
    if node.system is not None:
        messages = [{"role": "system", "content": node.system}, *messages]
    body: dict[str, Any] = {"model": node.model, "messages": messages}
    body |= {name: value for name in _COPIED if (value := getattr(node, name)) is not None}
    if node.output_schema is not None:
        form = {"name": "output", "schema": node.output_schema, "strict": False}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def _preferences(node: Prompt) -> Preferences:
    wishes = Preferences(
        strategy=node.strategy,
        providers=tuple(node.providers),
        ordered=node.mode == "fallback",
        race=(len(node.providers) or _RACERS) if node.mode == "race" else 0,
        cache="on" if node.cache else "off",
        validate=node.output_schema is not None,
        timeout=node.timeout,
    )
    if isinstance(node.objective, dict):
        wishes.objective = "custom"
        wishes.weights = dict.fromkeys(WEIGHTS, 0.0) | node.objective
    else:
        wishes.objective = node.objective
    return wishes


def _failure(exc: GatewayError, context: Context, exchange: Exchange) -> Failure:
    purse = context.purse
    if exc.code == TOO_DEAR and purse is not None:
        left = f"{purse.spent:.4g} are spent, {purse.held:.4g} held"
        said = f"The budget of {purse.limit:g} USD would be exceeded: {left}."
        return Failure("budget_exceeded", said, "budget_exceeded", exc.status)
    tried = [
        Tried(
            context.step.tries,
            one.outcome,
            one.message,
            one.status,
            one.provider,
            one.model,
            round(one.seconds, 4),
            exchange.id,
        )
        for one in exchange.attempts
    ]
    return Failure(exc.type, exc.message, exc.code, exc.status, attempts=tried)


def _transient(exc: GatewayError) -> bool:
    return exc.code not in _FINAL and (exc.status >= 500 or exc.status in {408, 429})
