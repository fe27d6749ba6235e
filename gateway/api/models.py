"""`GET /v1/models`, in OpenAI's shape or, for callers with an `anthropic-version` header, in Anthropic's."""

from litestar import Controller, Request, get
from litestar.datastructures import State
from litestar.params import FromPath

from gateway.api.access import Gateway, caller
from gateway.api.answers.models import AnthropicModel, AnthropicModels, OpenAIModel, OpenAIModels
from gateway.errors import UnknownModel

_Request = Request[object, object, State]
#: Both shapes require a date of creation, which no price list knows. The epoch is plainly no date.
_CREATED = 0
_CREATED_AT = "1970-01-01T00:00:00Z"


class Models(Controller):
    """The names a caller may ask for."""

    path = "/v1/models"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["OpenAI", "Anthropic"]  # noqa: RUF012 - as above

    @get(summary="List models", description="Routes, models and `auto`; each may be used as `model` on every surface.")
    async def list_models(self, gateway: Gateway, request: _Request) -> OpenAIModels | AnthropicModels:
        """Every name."""
        names = gateway.catalog.names()
        if "anthropic-version" in request.headers:
            data = [_anthropic(name) for name in names]
            first, last = (names[0], names[-1]) if names else (None, None)
            return AnthropicModels(data, has_more=False, first_id=first, last_id=last)
        return OpenAIModels("list", [_openai(gateway, name) for name in names])

    @get("/{name:path}", summary="Retrieve a model")
    async def retrieve_model(
        self, gateway: Gateway, name: FromPath[str], request: _Request
    ) -> OpenAIModel | AnthropicModel:
        """One name, `provider/model` included."""
        name = name.removeprefix("/")
        if not gateway.catalog.known(name):
            raise UnknownModel(gateway.catalog.unknown(name), param="model")
        return _anthropic(name) if "anthropic-version" in request.headers else _openai(gateway, name)


def _openai(gateway: Gateway, name: str) -> OpenAIModel:
    providers = {one.provider for one in gateway.catalog.serving(name)}
    owner = providers.pop() if len(providers) == 1 else "steelyard"
    return OpenAIModel(name, "model", _CREATED, owner)


def _anthropic(name: str) -> AnthropicModel:
    return AnthropicModel("model", name, name, _CREATED_AT)
