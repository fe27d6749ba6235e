"""LiteLLM's `model_list` → providers with models, and which of them serve each of its model names.

LiteLLM has one list of deployments, each with address, key and model. Here an address and key are a provider, which has
models: entries that differ in neither become one. What the entries of one model name are to each other (weights, order)
is the name's route: see `litellm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct, field

from gateway.catalogue import Capability, CatalogueModel, load_catalogue
from gateway.importing.prefixes import PREFIXES, Prefix, split
from gateway.importing.told import Note, is_plain_secret, mapping, value
from providers import PROVIDERS

_MODES: Mapping[str, Capability] = {
    "embedding": "embeddings",
    "completion": "completions",
    "moderation": "moderation",
    "image_generation": "images",
    "audio_speech": "speech",
    "audio_transcription": "transcription",
}
#: Of `litellm_params`, what is read here; and of the rest, what to do about it.
_READ = frozenset(
    {
        *("model", "api_key", "api_base", "base_url", "api_version", "custom_llm_provider", "organization"),
        *("rpm", "tpm", "order", "weight", "timeout", "stream_timeout", "max_parallel_requests"),
        *("extra_headers", "headers", "input_cost_per_token", "output_cost_per_token"),
    }
)
_REST = {
    "max_retries": "retries are of the whole gateway: requests.retries",
    "num_retries": "retries are of the whole gateway: requests.retries",
    "tags": "give keys the routes that they may use instead: steelyard keys create --route",
    "max_budget": "a provider has a budget of its own: providers.NAME.budget",
    "budget_duration": "a provider has a budget of its own: providers.NAME.budget",
    "cache_control_injection_points": "callers write cache_control themselves; it is passed on",
}
_DEFAULT_REST = "what callers do not say themselves is not added to their requests here"


Tree = dict[str, Any]


class Serving(Struct, frozen=True):
    """One entry of the list: `target` serves it."""

    target: str
    order: int
    weight: float | None
    rpm: int | None
    tpm: int | None


class Found(Struct):
    """What is in a list: our providers, and by each of LiteLLM's model names who serves it."""

    providers: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    groups: dict[str, list[Serving]] = field(default_factory=dict[str, list[Serving]])
    #: The same of wildcards, behind which any name that is written stands.
    wild: dict[str, list[Serving]] = field(default_factory=dict[str, list[Serving]])
    notes: list[Note] = field(default_factory=list[Note])


class Reading:
    """Reads a list, entry by entry."""

    def __init__(self) -> None:
        """Nothing found yet."""
        self.found = Found()
        self._known: dict[str, str] = {}
        self._catalogue = load_catalogue()

    def entry(self, place: str, entry: Any) -> None:
        """Take an entry in, or say why not."""
        if not isinstance(entry, dict) or not isinstance(cast("Any", entry).get("litellm_params"), dict):
            self._note(place, "is no entry with model_name and litellm_params")
            return
        told = cast("dict[str, Any]", entry)
        params, about = (
            cast("dict[str, Any]", told["litellm_params"]),
            mapping(told.get("model_info")),
        )
        name, model = str(told.get("model_name") or ""), str(params.get("model") or "")
        whose, upstream = split(model, params.get("custom_llm_provider"))
        place = f"{place} ({name})"
        prefix = PREFIXES.get(whose or "")
        if prefix is None or prefix.refused is not None or about.get("mode") in ("rerank", "batch"):
            self._refuse(place, model, whose, prefix, about.get("mode"))
            return
        address = self._address(place, prefix, params)
        if address is None:
            return
        provider = self._provider(place, whose or "", prefix, address, params)
        if "*" in upstream:
            self._all(place, provider, prefix)
            return
        self._model(place, provider, prefix, upstream, params, about)
        self._rest(place, params)
        serving = Serving(f"{provider}/{upstream}", _whole(params.get("order")) or 0, _number(params.get("weight")),
                          _whole(params.get("rpm")), _whole(params.get("tpm")))  # fmt: skip
        self.found.groups.setdefault(name, []).append(serving)

    def _note(self, place: str, said: str, *, lost: bool = True) -> None:
        self.found.notes.append(Note(place, said, lost))

    def _refuse(self, place: str, model: str, whose: str | None, prefix: Prefix | None, mode: Any) -> None:
        if prefix is None:
            said = f"nobody knows whose '{model}' is" if whose is None else f"the provider '{whose}' is not known here"
            self._note(place, f"{said}: if it speaks OpenAI's API, add it as a provider with 'dialect: openai'")
        elif prefix.refused is not None:
            self._note(place, f"{model}: {prefix.refused}; instead: {prefix.instead}")
        else:
            self._note(place, f"{model}: there is no surface for the mode '{mode}'")

    def _address(self, place: str, prefix: Prefix, params: Mapping[str, Any]) -> str | None:
        """The base URL; empty for a known provider's own. None: there is none."""
        base = value(params.get("api_base") or params.get("base_url"))
        if base is None and prefix.base is not None:
            base = f"${{{prefix.base}}}"
        if base is not None:
            bare = str(base).rstrip("/")
            return bare if not prefix.path or bare.endswith(prefix.path) else bare + prefix.path
        if prefix.provider is not None or prefix.url is not None:
            return prefix.url or ""
        self._note(place, "has no api_base: add the server as a provider with 'dialect: openai' and its base_url")
        return None

    def _provider(self, place: str, whose: str, prefix: Prefix, address: str, params: Mapping[str, Any]) -> str:
        """The name of the provider with this address, key and manners; made where there is none."""
        entry: dict[str, Any] = {} if prefix.provider is not None else {"dialect": "openai"}
        if address:
            entry["base_url"] = address
        key = params.get("api_key")
        if key is not None or prefix.key is not None:
            entry["api_key"] = value(key) if key is not None else f"${{{prefix.key}}}"
        if is_plain_secret(key):
            self._note(place, "its key stands in the file itself: better ${NAME} or file:/path", lost=False)
        self._manners(place, entry, params)
        identity = repr((prefix.provider, entry))
        if identity in self._known:
            return self._known[identity]
        if prefix.note is not None:
            self._note(place, prefix.note, lost=False)
        stem, number = prefix.provider or whose.replace("_", "-"), 1
        name = stem
        while name in self.found.providers:
            number += 1
            name = f"{stem}-{number}"
        if prefix.provider is not None and name != stem:
            entry = {**self._built_in(prefix.provider), **entry}
        self.found.providers[name] = {**entry, "models": []}
        self._known[identity] = name
        return name

    def _built_in(self, name: str) -> dict[str, Any]:
        """What a known provider brings along, for a second one under another name."""
        one = next(one for one in PROVIDERS if one.name == name)
        return {"dialect": one.dialect, "base_url": one.base_url}

    def _manners(self, place: str, entry: dict[str, Any], params: Mapping[str, Any]) -> None:
        headers = {**mapping(params.get("headers")), **mapping(params.get("extra_headers"))}
        if params.get("organization"):
            headers["OpenAI-Organization"] = params["organization"]
        if headers:
            entry["profile"] = {"headers": {str(name): str(value(one)) for name, one in headers.items()}}
        timeouts = {"total": _number(params.get("timeout")), "first_byte": _number(params.get("stream_timeout"))}
        if any(timeouts.values()):
            entry["timeout"] = {name: seconds for name, seconds in timeouts.items() if seconds}
        if (most := _whole(params.get("max_parallel_requests"))) is not None:
            entry["max_concurrency"] = most
        if (weight := _number(params.get("weight"))) is not None:
            entry["weight"] = weight

    def _all(self, place: str, provider: str, prefix: Prefix) -> None:
        """A wildcard: whatever the catalogue lists."""
        entry = self.found.providers[provider]
        listed = self._catalogue.of(prefix.provider or "")
        if not listed:
            self._note(place, "a wildcard needs a catalogue, which this provider has not: name its models")
            return
        known = {one if isinstance(one, str) else one["name"] for one in entry["models"]}
        entry["models"] += [name for name in listed if name not in known]
        for name in listed:
            self.found.wild.setdefault(name, []).append(Serving(f"{provider}/{name}", 1, None, None, None))
        self._note(place, f"is the {len(listed)} models of the catalogue: name others under models", lost=False)

    def _model(
        self,
        place: str,
        provider: str,
        prefix: Prefix,
        upstream: str,
        params: Mapping[str, Any],
        about: Mapping[str, Any],
    ) -> None:
        models = self.found.providers[provider]["models"]
        if any(upstream == (one if isinstance(one, str) else one["name"]) for one in models):
            return
        model: dict[str, Any] = {"name": upstream}
        capability = _MODES.get(str(about.get("mode"))) or prefix.capability
        if capability is not None:
            model["capabilities"] = [capability]
        base = str(about.get("base_model") or "").rpartition("/")[2]
        price = _price({**about, **params})
        listed = self._catalogue.of(prefix.provider or "")
        figures = next((one for one in self._catalogue.models if one.name == base), None)
        if price is not None:
            model["price"] = price
        elif figures is not None and upstream not in listed:
            model |= _figures(figures)
        elif upstream not in listed and not _costs_nothing(prefix.provider):
            model["price"] = "free"
            self._note(place, f"no price of {upstream} is known: it counts as free until you write one", lost=False)
        for ours, theirs in (("context", "max_input_tokens"), ("max_output", "max_output_tokens")):
            if (number := _whole(about.get(theirs))) is not None:
                model[ours] = number
        models.append(upstream if len(model) == 1 else model)

    def _rest(self, place: str, params: Mapping[str, Any]) -> None:
        for name in params:
            if name not in _READ:
                self._note(f"{place} litellm_params.{name}", _REST.get(name, _DEFAULT_REST))


def _figures(of: CatalogueModel) -> Tree:
    """What the catalogue knows of a model, for one that is called otherwise."""
    prices = {"input": of.input, "output": of.output, "cached_input": of.cached_input, "cache_write": of.cache_write}
    known = {"context": of.context, "max_output": of.max_output, "capabilities": [*of.capabilities]}
    told = {name: figure for name, figure in prices.items() if figure is not None}
    return {"price": told, **{name: one for name, one in known.items() if one}}


def _costs_nothing(provider: str | None) -> bool:
    return any(one.free for one in PROVIDERS if one.name == provider)


def _price(told: Mapping[str, Any]) -> dict[str, float] | None:
    """USD per million tokens."""
    both = {"input": _number(told.get("input_cost_per_token")), "output": _number(told.get("output_cost_per_token"))}
    if both["input"] is None:
        return None
    return {name: round((figure or 0.0) * 1e6, 9) for name, figure in both.items()}


def _number(raw: Any) -> float | None:
    try:
        return float(raw)
    except (TypeError, ValueError):
        return None


def _whole(raw: Any) -> int | None:
    number = _number(raw)
    return None if number is None or number < 1 else int(number)
