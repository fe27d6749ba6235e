"""A definition, as JSON or YAML spells it: nodes by key, edges between them, and what comes out.

    {"slug": "plan-review", "name": "Plan review", "input_schema": {…},
     "nodes": {"draft": {"type": "prompt", "prompt": "Write a plan for {{ input.topic }}"}, …},
     "edges": [{"source": "draft", "target": "risks"}, …],
     "outputs": {"verdict": "{{ nodes.verdict.output.text }}"}}

Every string of a field in a node's `TEMPLATES` may hold `{{ … }}`; a field in `EXPRESSIONS` is one expression without
braces. Both see `input` and `nodes.<key>.output`; inside a map also `item` and `index`, inside a loop `previous` and
`iteration`, in `until` moreover `output`, in `retry_if` only `error`. Times in seconds, money in USD.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, cast

from msgspec import Meta, Struct, field

from gateway.workflows.labels import MEDIA_TYPE

Json = Any
Seconds = Annotated[float, Meta(gt=0, le=2_592_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
#: A key stands in expressions (`nodes.<key>`), so it is an identifier.
Key = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
#: Of a definition; more is not kept of any number (PostgreSQL's `integer`).
MOST_VERSIONS = 2_147_483_647
Version = Annotated[int, Meta(ge=1, le=MOST_VERSIONS)]
#: USD. More has no room in a column of money, which has eight digits before the point.
Budget = Annotated[float, Meta(gt=0, lt=100_000_000)]
SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
Schema = dict[str, Json]
#: Of an objective that a prompt makes up for itself.
WEIGHTS = ("latency", "cost", "errors", "quality")
#: More would be a program, not a workflow; each may moreover be a map over many items.
MOST_NODES = 500
MOST_ITEMS = 10_000


class KeepAs(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a node comes to, kept as a file: under a name, which is a template, and as that media type.

    None: `text/plain` for a text, `application/json` for what is none.
    """

    name: Annotated[str, Meta(min_length=1, max_length=1000)]
    media_type: Annotated[str, Meta(pattern=MEDIA_TYPE)] | None = None


class Node(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", omit_defaults=True):
    """What all kinds have.

    Attributes:
        timeout: seconds for one try; None: the gateway's setting.
        retries: further tries after a transient fault; None: the gateway's setting.
        retry_if: an expression over `error` (`type`, `code`, `status`, `message`), instead of the rule for transient
            faults.
        on_error: what follows the last failure: the execution fails, `default` stands for the output (of a fork it is a
            branch), or the edges with `on: error` are followed; behind them `nodes.<key>.error` says what happened.
        join: run when all edges that lead here were followed, or as soon as one was.
        artifact: keep what it comes to as a file: a name, which is a template, or name and media type.
    """

    TEXTS: ClassVar[tuple[str, ...]] = ()
    """Of `TEMPLATES` those that are texts, whatever they are filled in with."""
    TEMPLATES: ClassVar[tuple[str, ...]] = ()
    EXPRESSIONS: ClassVar[tuple[str, ...]] = ()
    ASKS_NOBODY: ClassVar[bool] = False
    """Follows from what is known and from nothing else: to do it again costs nothing, and nobody sees it."""

    name: Name | None = None
    description: str | None = None
    timeout: Seconds | None = None
    retries: Annotated[int, Meta(ge=0, le=100)] | None = None
    retry_if: str | None = None
    on_error: Literal["fail", "default", "branch"] = "fail"
    default: Json = None
    join: Literal["all", "any"] = "all"
    artifact: Annotated[str, Meta(min_length=1, max_length=1000)] | KeepAs | None = None


class Prompt(Node, tag="prompt"):
    """Ask a model, by the same pipeline as HTTP. Exactly one of `prompt` and `messages`.

    Its output is `{"text", "provider", "model", "finish_reason", "tool_calls"?}`; with an `output_schema` the object
    itself.
    """

    TEXTS = ("prompt", "system")
    TEMPLATES = ("prompt", "system", "messages")

    prompt: str | None = None
    messages: list[dict[str, Json]] | None = None
    system: str | None = None
    model: str = "auto"
    providers: list[str] = []
    mode: Literal["route", "race", "fallback"] = "route"
    strategy: str | None = None
    objective: str | dict[str, float] | None = None
    cache: bool = True
    output_schema: Schema | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    tools: list[dict[str, Json]] | None = None
    tool_choice: Json = None


class Tool(Node, tag="tool"):
    """Call a tool of an MCP server. Its output is `{"text", "content", "structured"}`."""

    TEMPLATES = ("input",)

    server: Name
    tool: Name
    input: dict[str, Json] = {}


class Http(Node, tag="http"):
    """Send a request. Its output is `{"status", "headers", "body"}`, the body parsed where it is JSON."""

    TEXTS = ("url",)
    TEMPLATES = ("url", "headers", "query", "body")

    url: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET"
    headers: dict[str, str] = {}
    query: dict[str, Json] = {}
    body: Json = None
    accept: list[Annotated[int, Meta(ge=100, le=599)]] = []
    """Statuses that are no failure; empty: 200 to 299."""


class Condition(Node, tag="condition"):
    """A fork: edges with `branch: "true"` or `"false"` are followed. Its output is `{"branch"}`."""

    EXPRESSIONS = ("if_",)
    ASKS_NOBODY = True

    if_: str = field(name="if")


class Switch(Node, tag="switch"):
    """A fork by cases: the edge of the first case that holds is followed, or `default`. Its output is `{"branch"}`."""

    EXPRESSIONS = ("cases",)
    ASKS_NOBODY = True

    cases: Annotated[dict[str, str], Meta(min_length=1)]
    """Branch → expression, tried in order."""


class Template(Node, tag="template"):
    """Put something together from what is known. Its output is `{"text"}`, or what `output` says."""

    TEMPLATES = ("template", "output")
    ASKS_NOBODY = True

    template: str | None = None
    output: Json = None


class SubWorkflow(Node, tag="workflow"):
    """Run another workflow, and wait for it. Its output is the child's outputs."""

    TEMPLATES = ("inputs",)

    slug: Annotated[str, Meta(pattern=SLUG)]
    version: Version | None = None
    """None: the newest when this node begins."""
    inputs: dict[str, Json] = {}


class Approval(Node, tag="approval"):
    """Wait for a person. Its output is `{"decision", "data", "decided_by", "decided_at"}`.

    Edges with `branch: "rejected"` are followed after a no; those without a branch, or with `approved`, after a yes.
    """

    TEXTS = ("message",)
    TEMPLATES = ("message", "payload")

    message: str
    payload: Json = None
    form_schema: Schema | None = None
    """What `data` of the decision must follow."""
    expires_after: Seconds | None = None
    """A decision that does not come by then is a failure, with code `approval_expired`."""


class Vote(Node, tag="vote"):
    """Rate answers, as `/api/feedback` does: the DWA learns who answers well. Its output is `{"votes"}`, their number.

    `of` is a prompt that comes before, or a map or loop of prompts. `score` is from 0 to 1, or null for no vote; of a
    map a list, with one for each of its `items`. Of a loop the last round is rated.
    """

    TEXTS = ("comment",)
    TEMPLATES = ("score", "comment")

    of: str
    score: Json
    metric: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "workflow"
    comment: str | None = None


Inner = Prompt | Tool | Http | Template | SubWorkflow


class Map(Node, tag="map"):
    """Run `node` once for each item of a list. Its output is `{"items", "failed"}`, items in their order.

    An item that fails stops the map, becomes null or is dropped (`on_item_error`); a list longer than `max_items`
    fails.
    """

    EXPRESSIONS = ("over",)

    over: str
    node: Inner
    max_items: Annotated[int, Meta(ge=1, le=MOST_ITEMS)] = 100
    parallel: Annotated[int, Meta(ge=1, le=100)] = 5
    on_item_error: Literal["stop", "null", "drop"] = "stop"


class Loop(Node, tag="loop"):
    """Run `node` again and again until an expression over `output` and `iteration` (from 1) holds.

    Its output is `{"output", "iterations", "done"}`: the last output, and whether `until` was reached.
    """

    EXPRESSIONS = ("until",)

    node: Inner
    until: str
    max_iterations: Annotated[int, Meta(ge=1, le=1000)] = 10


AnyNode = Prompt | Tool | Http | Condition | Switch | Template | SubWorkflow | Approval | Vote | Map | Loop
KINDS: dict[str, type[Node]] = {
    "prompt": Prompt,
    "tool": Tool,
    "http": Http,
    "condition": Condition,
    "switch": Switch,
    "template": Template,
    "workflow": SubWorkflow,
    "approval": Approval,
    "vote": Vote,
    "map": Map,
    "loop": Loop,
}
INNER = ("prompt", "tool", "http", "template", "workflow")


class Edge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """From one node to the next, when the first has ended well (or, `on: error`, has failed and branches).

    `branch` is that of a condition, switch or approval; `condition` an expression that must hold besides.
    """

    source: str
    target: str
    branch: str | None = None
    condition: str | None = None
    on: Literal["success", "error"] = "success"


class Definition(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A workflow.

    Attributes:
        input_schema: JSON Schema 2020-12 of the inputs.
        outputs: templates of what comes out; one that needs a node that was skipped is null. Empty: the output of each
            node that nothing follows.
        deadline: seconds that an execution may take in all, waiting for approvals included.
        budget_usd: an execution stops before a prompt would exceed it.
        parallel: steps at a time; None: the gateway's setting.
    """

    slug: Annotated[str, Meta(pattern=SLUG)]
    name: Name
    description: str = ""
    input_schema: Schema = {}
    nodes: Annotated[dict[Key, AnyNode], Meta(min_length=1, max_length=MOST_NODES)]
    edges: list[Edge] = []
    outputs: dict[str, Json] = {}
    deadline: Seconds | None = None
    budget_usd: Budget | None = None
    parallel: Annotated[int, Meta(ge=1, le=100)] | None = None
    tags: dict[str, str] = {}


def keep_as(node: Node) -> KeepAs | None:
    """As what a node is to be kept, in the long form."""
    return KeepAs(name=node.artifact) if isinstance(node.artifact, str) else node.artifact


def members(tree: Json) -> dict[str, Json] | None:
    """The members of a JSON object; None of anything else."""
    return cast(dict[str, Json], tree) if isinstance(tree, dict) else None


def elements(tree: Json) -> list[Json] | None:
    """The elements of a JSON array; None of anything else."""
    return cast(list[Json], tree) if isinstance(tree, list) else None
