"""A request → the calls that a model takes for it, and what is left for the gateway to do to the answers.

Law: what a model does by itself is left to it, byte for byte. What it does not, and the gateway can do as well, is
taken out of the call and done here:
- more answers than it gives to one request are asked for by several calls, each with the whole prompt;
- stop sequences beyond its number, or of a kind that it refuses, are looked for in its text (`amending`);
- a shape that it cannot bind its answer to becomes the parameters of a tool that it must call, whose arguments are then
  the answer. Where the caller's own tools may be called, it is one of them; where one of those must be, no text is
  expected and no shape is to be had.

Functions are called what every provider takes (`naming`).

Such an answer is validated, unless the caller said `strict: false`: that asks for no guarantee, and there is none from
the providers that bind either. A caller who left `strict` out did not say so. What a model binds itself is validated
only when asked for.
"""

from __future__ import annotations

from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from providers.chat import MOST_STOPS, ChatRequest, Conversation, ResponseFormat, Tool, ToolChoice
from providers.dialect import Amends, Call, Dialect, Fit, Inexpressible, Limits, Target
from providers.naming import plainly

#: Calls for one request: each takes from the provider's quota. Doubled: one request may take a minute's allowance of a
#: small account; halved: eight answers, the most that Gemini gives, are no longer to be had everywhere with margin.
MOST_CALLS = 16
_TOOL = "response"
_TELLING = "Give the answer by calling this tool: its arguments are the answer, and nothing else is read."


class _Plan(Struct):
    """How a request is said otherwise: the answers of each call, the stop sequences sent, the tools for its shape."""

    shares: list[int]
    sent: list[str]
    amends: Amends
    tools: list[Tool] | None = None
    choice: ToolChoice | None = None
    lost: list[str] = []

    def changed(self, request: ChatRequest) -> bool:
        """Anything is said otherwise."""
        return self.shares != [request.n] or self.sent != request.stop or self.tools is not None


def fitted(request: ChatRequest, dialect: Dialect, target: Target, *, drop: bool, validate: bool = False) -> Call:
    """The call to make, and in it the further ones. Raises `Inexpressible`."""
    request, names = plainly(request, dialect.name)
    call = _fitted(request, dialect, target, drop=drop, validate=validate)
    for one in (call, *call.more):
        one.names = names
    return call


def _fitted(request: ChatRequest, dialect: Dialect, target: Target, *, drop: bool, validate: bool) -> Call:
    if request.n == 1 and not request.stop and "json_schema" not in request.needs:
        return dialect.encode(request, target, drop=drop)
    plan = _plan(request, dialect, target, drop=drop, validate=validate)
    if not plan.changed(request):
        call = dialect.encode(request, target, drop=drop)
        amends = _both(call.amends, plan.amends)
        call.choices, call.amends = request.n, None if amends == Amends() else amends
        return call
    calls: list[Call] = []
    for share in plan.shares:
        call = dialect.encode(_said(request, dialect, plan, share), target, drop=drop)
        call.choices, call.amends = share, _both(call.amends, plan.amends)
        call.dropped = (*request.named(plan.lost), *call.dropped)
        calls.append(call)
    calls[0].more = tuple(calls[1:])
    return calls[0]


def _both(of_dialect: Amends | None, planned: Amends) -> Amends:
    """What the dialect left to the gateway, and what the plan did."""
    if of_dialect is None:
        return planned
    return replace(planned, bare=of_dialect.bare, schema=planned.schema or of_dialect.schema)


def _plan(request: ChatRequest, dialect: Dialect, target: Target, *, drop: bool, validate: bool) -> _Plan:
    limits = dialect.limits(target)
    shares = [min(limits.choices, request.n - given) for given in range(0, request.n, limits.choices)]
    sent = [one for one in request.stop if limits.blank_stops or one.strip()][: limits.stops]
    left = [one for one in request.stop if one and one not in sent]
    plan = _Plan(shares, sent, Amends())
    if len(shares) > MOST_CALLS:
        most = MOST_CALLS * limits.choices
        _lose(
            "n",
            f"{request.n} answers were asked for, and at most {most} are to be had here.",
            plan,
            request,
            dialect,
            drop,
        )
        plan.shares = [1]
    if left and len(request.stop) > MOST_STOPS:
        told = f"It takes {len(sent)} of the sequences, and the gateway looks for the others up to {MOST_STOPS} in all."
        _lose("stop", told, plan, request, dialect, drop)
        left = left[: MOST_STOPS - len(sent)]
    plan.amends = Amends(tuple(left))
    # In a caller's own words for his own provider, which fields a model knows is his to say, unless a profile says it.
    own = request.dialect == dialect.name
    bound = limits.shapes or (own and not limits.own_shapes)
    wanted = _shape(request) if validate or not (own and bound) else None
    if wanted is not None and wanted.schema is not None:
        if not bound or not (own or limits.binds(wanted.schema)):
            _bind(plan, request, wanted, limits, dialect, drop=drop, validate=validate)
        elif validate:
            plan.amends = replace(plan.amends, schema=wanted.schema)
    return plan


def _lose(name: str, why: str, plan: _Plan, request: ChatRequest, dialect: Dialect, drop: bool) -> None:
    """A field that cannot be had whole: left out by leave, else refused."""
    if not drop:
        raise Inexpressible(request.named([name]), dialect.name, why)
    plan.lost.append(name)


def _shape(request: ChatRequest) -> ResponseFormat | None:
    if "json_schema" not in request.needs:
        return None
    wanted = request.conversation().response_format
    return wanted if wanted is not None and wanted.kind == "json_schema" else None


def _bind(
    plan: _Plan,
    request: ChatRequest,
    wanted: ResponseFormat,
    limits: Limits,
    dialect: Dialect,
    *,
    drop: bool,
    validate: bool,
) -> None:
    """Have the shape bound by a tool, and say whether it is validated."""
    said = request.conversation()
    mode = said.tool_choice.mode if said.tool_choice else "auto"
    thinks = said.effort is not None and said.effort.enabled
    plan.tools, plan.choice = [], said.tool_choice or ToolChoice("auto")
    if (thinks and not limits.forces_thinking) or (wanted.schema or {}).get("type", "object") != "object":
        told = (
            "This schema takes a tool that the model must call and whose arguments are the answer: an object, and no "
        )
        _lose("response_format.json_schema", f"{told}thinking before it.", plan, request, dialect, drop)
        return
    if mode in ("required", "named"):
        return
    name = _free(wanted.name or _TOOL, said)
    told = f"{wanted.description} {_TELLING}" if wanted.description else _TELLING
    # Never `strict`: what does not bind an answer to this schema does not bind a call to it, and refuses to be asked.
    plan.tools.append(Tool(name, told, wanted.schema))
    allowed = said.tool_choice.allowed if said.tool_choice else []
    if said.tools and mode == "auto":
        plan.choice = ToolChoice("required", allowed=[*allowed, name] if allowed else [])
    else:
        plan.choice = ToolChoice("named", name)
    checked = validate or wanted.strict is not False
    plan.amends = replace(plan.amends, answer=name, schema=wanted.schema if checked else None)


def _free(name: str, said: Conversation) -> str:
    """A name that no tool of the caller's has."""
    taken = {tool.name for tool in said.tools}
    numbered = (f"{name[:60]}_{number}" for number in count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def _said(request: ChatRequest, dialect: Dialect, plan: _Plan, share: int) -> ChatRequest:
    """The request as one call of the plan says it."""
    if request.dialect == dialect.name:
        n = share if share != request.n else None
        stop = plan.sent if plan.sent != request.stop else None
        body = dialect.refit(request.body, Fit(n, stop, plan.tools, plan.choice))
        return replace(request, body=body, n=share, stop=plan.sent)
    said = replace(request.conversation(), n=share, stop=plan.sent)
    if plan.tools is not None:
        said.tools, said.tool_choice, said.response_format = [*said.tools, *plan.tools], plan.choice, None
    return replace(request, n=share, stop=plan.sent, _conversation=said)
