"""`GET /v1/models`, in OpenAI's shape or, for callers with an `anthropic-version` header, in Anthropic's.

Google's SDK asks here, too, unless told to ask `/v1beta`: a caller who gives its key in Google's header gets Gemini's
shape.
"""

from enum import Enum

from litestar import Controller, Request, get
from litestar.datastructures import State
from litestar.params import FromPath

from gateway.api.access import Gateway, caller, principal_of
from gateway.api.answers.models import (
    AnthropicModel,
    AnthropicModels,
    GeminiModel,
    GeminiModels,
    OpenAIModel,
    OpenAIModels,
)
from gateway.catalog import EMBEDDINGS, Catalog
from gateway.parts import Parts

_Request = Request[object, object, State]
#: Both shapes require a date of creation, which no price list knows. The epoch is plainly no date.
_CREATED = 0
_CREATED_AT = "1970-01-01T00:00:00Z"
_PATH, _GOOGLES_PATH = "/v1/models", "/v1beta"
_METHODS = ["generateContent", "streamGenerateContent", "countTokens"]
_EMBEDDING_METHODS = ["embedContent", "batchEmbedContents"]


class Reader(Enum):
    """Whose shape a caller reads."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"


def reader(request: _Request) -> Reader:
    """Whose client asks, by the address, and where several have the same by the headers."""
    path = request.url.path
    if path == _GOOGLES_PATH or path.startswith(f"{_GOOGLES_PATH}/"):
        return Reader.GOOGLE
    if path != _PATH and not path.startswith(f"{_PATH}/"):
        return Reader.OPENAI
    if "anthropic-version" in request.headers:
        return Reader.ANTHROPIC
    return Reader.GOOGLE if "x-goog-api-key" in request.headers else Reader.OPENAI


class Models(Controller):
    """The names that a caller's key may ask for."""

    path = _PATH
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["OpenAI", "Anthropic", "Gemini"]  # noqa: RUF012 - as above

    @get(summary="List models", description="Routes, models and `auto`; each may be used as `model` on every surface.")
    async def list_models(self, gateway: Gateway, request: _Request) -> OpenAIModels | AnthropicModels | GeminiModels:
        """Every name."""
        catalog = gateway.pipeline.allowed(principal_of(request))
        names = catalog.names()
        match reader(request):
            case Reader.GOOGLE:
                return GeminiModels([_gemini(catalog, name) for name in names])
            case Reader.ANTHROPIC:
                data = [_anthropic(name) for name in names]
                first, last = (names[0], names[-1]) if names else (None, None)
                return AnthropicModels(data, has_more=False, first_id=first, last_id=last)
            case Reader.OPENAI:
                return OpenAIModels("list", [_openai(catalog, name) for name in names])

    @get("/{name:path}", summary="Retrieve a model")
    async def retrieve_model(
        self, gateway: Gateway, name: FromPath[str], request: _Request
    ) -> OpenAIModel | AnthropicModel | GeminiModel:
        """One name, `provider/model` included."""
        catalog, name = _known(gateway, request, name)
        match reader(request):
            case Reader.GOOGLE:
                return _gemini(catalog, name)
            case Reader.ANTHROPIC:
                return _anthropic(name)
            case Reader.OPENAI:
                return _openai(catalog, name)


class GeminiNames(Controller):
    """The same names where Gemini's API has them."""

    path = f"{_GOOGLES_PATH}/models"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Gemini"]  # noqa: RUF012 - as above

    @get(summary="List models in Gemini's shape")
    async def list_gemini_models(self, gateway: Gateway, request: _Request) -> GeminiModels:
        """Every name, on one page."""
        catalog = gateway.pipeline.allowed(principal_of(request))
        return GeminiModels([_gemini(catalog, name) for name in catalog.names()])

    @get("/{name:path}", summary="Retrieve a model in Gemini's shape")
    async def retrieve_gemini_model(self, gateway: Gateway, request: _Request, name: FromPath[str]) -> GeminiModel:
        """One name, `provider/model` included."""
        return _gemini(*_known(gateway, request, name))


def _known(gateway: Parts, request: _Request, name: str) -> tuple[Catalog, str]:
    """The name that a path ends with, in the caller's catalog. Raises `UnknownModel` or `Forbidden`."""
    catalog, name = gateway.pipeline.allowed(principal_of(request)), name.removeprefix("/")
    if not catalog.known(name):
        raise catalog.refusal(name)
    return catalog, name


def _openai(catalog: Catalog, name: str) -> OpenAIModel:
    providers = {one.provider for one in catalog.serving(name)}
    owner = providers.pop() if len(providers) == 1 else "steelyard"
    return OpenAIModel(name, "model", _CREATED, owner)


def _anthropic(name: str) -> AnthropicModel:
    return AnthropicModel("model", name, name, _CREATED_AT)


def _gemini(catalog: Catalog, name: str) -> GeminiModel:
    serving = catalog.serving(name)
    chats = any(one.chats for one in serving)
    embeds = any(EMBEDDINGS in (one.capabilities or ()) for one in serving)
    methods = [*(_METHODS if chats else []), *(_EMBEDDING_METHODS if embeds else [])]
    return GeminiModel(f"models/{name}", name, methods)
