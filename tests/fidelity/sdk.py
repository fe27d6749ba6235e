"""What the official SDKs know: every name in the types of a request and of an answer. The witness of impossibility.

The native format has no SDK: what it knows are the types it is documented by.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import anthropic.types
import openai.types.chat
import openai.types.responses
from anthropic.types import message_create_params
from google.genai import types as genai
from msgspec import Struct
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import BaseModel

from gateway.api.answers.orchestrate import OrchestrateAnswer
from gateway.api.orchestrate import OrchestrateRequest

_ASKED: dict[str, tuple[Any, ...]] = {
    "openai": (completion_create_params.CompletionCreateParamsBase,),
    "anthropic": (message_create_params.MessageCreateParamsBase,),
    "gemini": (genai.GenerateContentConfig, genai.Content),
    "responses": (response_create_params.ResponseCreateParamsBase,),
    "orchestrate": (OrchestrateRequest,),
}
_ANSWERED: dict[str, tuple[Any, ...]] = {
    "openai": (openai.types.chat.ChatCompletion, openai.types.chat.ChatCompletionChunk),
    "anthropic": (anthropic.types.Message, anthropic.types.RawMessageDeltaEvent),
    "gemini": (genai.GenerateContentResponse,),
    "responses": (openai.types.responses.Response, openai.types.responses.ResponseStreamEvent),
    "orchestrate": (OrchestrateAnswer,),
}


@cache
def asked(dialect: str) -> frozenset[str]:
    """The names of a request."""
    return frozenset(_names(_ASKED[dialect]))


@cache
def answered(dialect: str) -> frozenset[str]:
    """The names of an answer."""
    return frozenset(_names(_ANSWERED[dialect]))


def _names(roots: tuple[Any, ...]) -> Iterator[str]:
    waiting, seen = list(roots), set[Any]()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield from one.model_fields
            waiting += [info.annotation for info in one.model_fields.values()]
        elif typing.is_typeddict(one) or (isinstance(one, type) and issubclass(one, Struct)):
            kinds = typing.get_type_hints(one, include_extras=True)
            yield from kinds
            waiting += kinds.values()
        elif typing.get_origin(one) is not typing.Literal:
            waiting += [inner for inner in typing.get_args(one) if not isinstance(inner, (str, int, list, dict))]
