"""An execution as it is when nothing of it is kept yet: whoever asks for it, a caller or the clock."""

from __future__ import annotations

from gateway.errors import Conflict
from gateway.tracing.places import begun_in
from gateway.workflows.kept import Execution, Json
from gateway.workflows.library import Library, check_inputs


async def drafted(
    library: Library,
    slug: str,
    inputs: Json,
    key_name: str,
    *,
    identity: str,
    now: float,
    version: int | None = None,
    idempotency_key: str | None = None,
    budget_usd: float | None = None,
    deadline: float | None = None,
) -> Execution:
    """An execution of the newest version, unless one is named. `deadline` in seconds, instead of the definition's.

    Its budget is the smaller of `budget_usd` and the definition's: what a workflow may cost is for whoever defines it.

    Raises `NotFound`, and `Invalid` for inputs that do not follow the schema.
    """
    found = await library.get(slug, version)
    definition = found.definition
    check_inputs(definition, inputs)
    seconds = deadline or definition.deadline
    return Execution(
        id=identity,
        slug=slug,
        version=found.kept.version,
        status="pending",
        attempt=1,
        inputs=inputs,
        key_name=key_name,
        created_at=now,
        nodes=len(definition.nodes),
        idempotency_key=idempotency_key,
        budget_usd=min((one for one in (budget_usd, definition.budget_usd) if one is not None), default=None),
        deadline_s=deadline,
        deadline_at=None if seconds is None else now + seconds,
        begun_in=begun_in(),
    )


def must_be_the_same(known: Execution, slug: str, inputs: Json, version: int | None) -> None:
    """Raise `Conflict` unless that is what the idempotency key has begun."""
    if (known.slug, known.inputs, known.version) != (slug, inputs, version or known.version):
        raise Conflict(
            f"This idempotency key has begun {known.id}: '{known.slug}', its version or inputs differ. Use a new one.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
