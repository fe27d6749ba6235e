"""OpenAI's endpoints beside conversations: completions, which any provider can answer, and those passed on as they are.

`/v1/moderations`, `/v1/images/generations`, `/v1/audio/speech` and `/v1/audio/transcriptions` go to deployments of
OpenAI's format; without a model, or with `auto`, to those whose configuration says that they can.
"""

from functools import partial

from gateway.api.chat import ask_chat
from gateway.api.faults import OPENAI_SHAPE
from gateway.api.ingress import Incoming, Surface, require_model
from gateway.asking import Ask, Wanted
from gateway.calls import Passed
from gateway.catalog import AUTO, IMAGES, MODERATION, SPEECH, TRANSCRIPTION, Asked
from gateway.completing import Completion
from providers.dialects import completions
from providers.dialects.openai.passed import Passing, read_form, read_json

_JSON = "application/json"
#: Characters of a name that a record holds while it waits in memory.
_LONGEST_NAME = 256
#: Forms of a transcription that are JSON; the others are text.
_TRANSCRIBED_AS_JSON = frozenset({None, "", "json", "verbose_json", "diarized_json"})


def _completions(incoming: Incoming) -> Ask:
    (first, *others), form = completions.read(incoming.body)
    first.input_tokens += sum(one.input_tokens for one in others)
    work = Completion(first, form, False, others)
    ask = ask_chat(incoming, first, work, "drop_in")
    ask.wanted.asked = Asked(
        first.needs, first.input_tokens, first.max_tokens or 0, incoming.exchange.preferences.providers, completes=True
    )
    return ask


def _passed(incoming: Incoming, capability: str, path: str, request: Passing, kind: str, *, is_json: bool) -> Ask:
    exchange = incoming.exchange
    exchange.requested_model = require_model(AUTO if request.model is None else request.model)
    exchange.stream = request.stream
    exchange.user = request.user[:_LONGEST_NAME] if request.user else None
    exchange.content_type = None

    def told(answer: str) -> None:
        exchange.content_type = answer

    tokens = -(-len(request.text.encode()) // 4)
    asked = Asked(frozenset({capability}), tokens, 0, exchange.preferences.providers)
    work = Passed(path, request, kind, is_json, told)
    return Ask(exchange, Wanted(work, asked, None), incoming.body, "uncached", deterministic=False)


def _json(capability: str, path: str, incoming: Incoming) -> Ask:
    return _passed(incoming, capability, path, read_json(incoming.body), _JSON, is_json=True)


def _speech(incoming: Incoming) -> Ask:
    request = read_json(incoming.body)
    # Sound is heard while it is being made.
    request.stream = True
    return _passed(incoming, SPEECH, "/audio/speech", request, _JSON, is_json=False)


def _transcriptions(incoming: Incoming) -> Ask:
    kind = incoming.headers.get(b"content-type", b"").decode("latin-1")
    request = read_form(incoming.body, kind)
    is_json = request.response_format in _TRANSCRIBED_AS_JSON
    return _passed(incoming, TRANSCRIPTION, "/audio/transcriptions", request, kind, is_json=is_json)


COMPLETIONS = Surface("completions", "openai", OPENAI_SHAPE, _completions)
MODERATIONS = Surface("moderations", "openai", OPENAI_SHAPE, partial(_json, MODERATION, "/moderations"))
IMAGE_GENERATIONS = Surface("images", "openai", OPENAI_SHAPE, partial(_json, IMAGES, "/images/generations"))
AUDIO_SPEECH = Surface("speech", "openai", OPENAI_SHAPE, _speech)
AUDIO_TRANSCRIPTIONS = Surface("transcriptions", "openai", OPENAI_SHAPE, _transcriptions, form=True)
#: By their addresses.
BESIDE_CHAT = {
    "/v1/completions": COMPLETIONS,
    "/v1/moderations": MODERATIONS,
    "/v1/images/generations": IMAGE_GENERATIONS,
    "/v1/audio/speech": AUDIO_SPEECH,
    "/v1/audio/transcriptions": AUDIO_TRANSCRIPTIONS,
}
