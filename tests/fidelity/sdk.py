"""What the official SDKs know: every name in the types of a request and of an answer. The witness of impossibility."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import anthropic.types
import openai.types.chat
from anthropic.types import message_create_params
from google.genai import types as genai
from openai.types.chat import completion_create_params
from pydantic import BaseModel

_ASKED: dict[str, tuple[Any, ...]] = {
    "openai": (completion_create_params.CompletionCreateParamsBase,),
    "anthropic": (message_create_params.MessageCreateParamsBase,),
    "gemini": (genai.GenerateContentConfig, genai.Content),
}
_ANSWERED: dict[str, tuple[Any, ...]] = {
    "openai": (openai.types.chat.ChatCompletion, openai.types.chat.ChatCompletionChunk),
    "anthropic": (anthropic.types.Message, anthropic.types.RawMessageDeltaEvent),
    "gemini": (genai.GenerateContentResponse,),
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
        elif typing.is_typeddict(one):
            kinds = typing.get_type_hints(one, include_extras=True)
            yield from kinds
            waiting += kinds.values()
        elif typing.get_origin(one) is not typing.Literal:
            waiting += [inner for inner in typing.get_args(one) if not isinstance(inner, (str, int, list, dict))]
