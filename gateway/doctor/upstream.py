"""Providers: reachable, the key taken, the models there; and the proof, which costs a few tokens, when it is asked for.

Without `ask` nothing is billed: the list of models takes the key as a chat does. A server without such a list is asked
by its name only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, cast

from gateway.catalog import Catalog, Deployment
from gateway.doctor.finding import Finding, clocks, ok, problem, warning
from gateway.inventory import catalog_of
from gateway.settings.tree import ProviderSettings, Settings
from providers import client
from providers.dialect import Inexpressible
from providers.dialects import DIALECTS, OPENAI
from providers.endpoint import DialectName
from providers.errors import Fault, Misconfigured
from providers.transport import Timeouts, Transport

#: Behind the base URL: the list of models, as long as it may be.
_LISTS: dict[DialectName, str] = {
    "openai": "/models",
    "anthropic": "/v1/models?limit=1000",
    "gemini": "/v1beta/models?pageSize=1000",
}
_CLOCKS = Timeouts(connect=5.0, first_byte=8.0, idle=8.0, total=9.0)
_QUESTION = b'{"model":"check","messages":[{"role":"user","content":"Answer with the word ok."}],"max_tokens":16}'
#: Models that are named, of those that are missing.
_NAMED = 5


def transport_of(settings: Settings) -> Transport:
    """A client that trusts whom the settings trust; the caller's to close."""
    return Transport(verify=settings.tls.verify, ca_file=settings.tls.ca_file)


async def look(settings: Settings, name: str, *, ask: bool) -> list[Finding]:
    """One provider of the settings."""
    provider, catalog = settings.providers[name], catalog_of(settings, DIALECTS)
    transport = transport_of(settings)
    try:
        found = await _listed(transport, provider, catalog.deployments_of(name)[0])
        if ask:
            found.append(await _asked(transport, catalog, name))
        return found
    finally:
        await transport.close()


async def _listed(transport: Transport, provider: ProviderSettings, one: Deployment) -> list[Finding]:
    here, url = f"provider {provider.name}", one.endpoint.base_url + _LISTS[provider.dialect]
    began = time.perf_counter()
    try:
        async with transport.open("GET", url, one.endpoint.headers, None, _CLOCKS, deadline=None) as answer:
            status, dated, body = answer.status, answer.headers.get("date"), await answer.read()
    except Misconfigured as exc:
        return [problem(here, str(exc), f"Mend providers.{provider.name}.base_url or its headers.")]
    except Fault as exc:
        advice = "Is this machine's network, its proxy (HTTPS_PROXY) or the server's address at fault?"
        return [problem(here, f"{exc.kind}: {exc}", advice)]
    took = time.perf_counter() - began
    found = list(_said(here, provider, status, body, took))
    return [*found, clocks(provider.name, at, time.time())] if (at := _date(dated)) is not None else found


def _said(here: str, provider: ProviderSettings, status: int, body: bytes, took: float) -> Iterator[Finding]:
    if status in (401, 403) or (status == 400 and b"API_KEY_INVALID" in body):
        key = provider.api_key.hint() if provider.api_key else "none"
        said = f"it answers, and does not take the key ({key}): {status}"
        yield problem(here, said, "Copy the key again, whole; see that it is of this provider, and not expired.")
    elif status == 200:
        listed = _models(body)
        yield ok(here, f"takes the key, in {took:.2f} s" + (f", and lists {len(listed)} models" if listed else ""))
        missing = [one.upstream for one in provider.models if listed and one.upstream not in listed]
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            yield warning(
                here,
                f"does not list {', '.join(missing[:_NAMED])}{more}",
                "Is the name as the provider writes it? See what it answers: steelyard doctor --ask",
            )
    elif status == 429 or status >= 500:
        yield warning(here, f"it answers, and cannot serve now: {status}", "Look again later, or at its status page.")
    else:
        yield warning(
            here, f"it answers, and lists no models: {status}", "See whether it chats: steelyard doctor --ask"
        )


async def _asked(transport: Transport, catalog: Catalog, name: str) -> Finding:
    here, one = f"provider {name}", cheapest(catalog, name)
    if one is None:
        return ok(here, "was not asked: it has no chat model")
    began = time.perf_counter()
    failed = await question(transport, one, 60.0)
    if failed is not None:
        return problem(here, f"{one.model} did not answer: {failed}", "The provider's own words say what it takes.")
    return ok(here, f"{one.model} answered in {time.perf_counter() - began:.2f} s")


def cheapest(catalog: Catalog, name: str) -> Deployment | None:
    """The model of a provider that costs least to ask; None when none chats."""
    return min((one for one in catalog.deployments_of(name) if one.chats), key=_cost, default=None)


def _cost(one: Deployment) -> float:
    return one.price.output


async def question(transport: Transport, one: Deployment, patience: float) -> str | None:
    """Ask a deployment a tiny question; None when it was answered, else what went wrong, within so many seconds."""
    try:
        call = one.dialect.encode(OPENAI.parse(_QUESTION), one.target, drop=True)
        deadline = asyncio.get_running_loop().time() + patience
        received = await client.send(transport, one.endpoint, one.dialect, call, deadline=deadline)
        one.dialect.glance(received.body)
    except (Fault, Inexpressible) as exc:
        return f"{exc.kind if isinstance(exc, Fault) else 'inexpressible'}: {exc}"
    return None


def _models(body: bytes) -> set[str]:
    """The names in a list of models of any of the three formats; none where it is of no such form."""
    try:
        told: Any = json.loads(body)
        ones = cast("Sequence[Any]", told.get("data") or told.get("models") or ())
        return {str(one.get("id") or one.get("name", "")).removeprefix("models/") for one in ones}
    except (ValueError, AttributeError, TypeError):
        return set()


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None
