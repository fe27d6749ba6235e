"""A provider as data: which dialect it speaks, where, with which quirks, and which variables name its key.

`base_url` is what the dialect's official SDK takes: with `/v1` for `openai`, without a version for `anthropic` and
`gemini`, whose call paths carry it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from providers.dialect import Profile

DialectName = Literal["openai", "anthropic", "gemini"]


class Provider(Struct, frozen=True, kw_only=True):
    """A known provider. Its name stands in its own file and in `PROVIDERS`, nowhere else."""

    name: str
    dialect: DialectName
    base_url: str
    base_url_variable: str
    #: Variables that may hold its key; the first one set counts.
    key_variables: tuple[str, ...] = ()
    #: Without a key it is not enabled. Otherwise its base URL in the environment enables it.
    needs_key: bool = True
    #: Where a person gets a key, or the software.
    home: str
    #: Appended to a base URL that has no path, for servers whose own variable is customarily written without one.
    default_path: str = ""
    #: What OpenTelemetry's conventions call it (`gen_ai.provider.name`), where that is another name.
    gen_ai: str = ""
    #: Its models cost nothing unless a price is written.
    free: bool = False
    profile: Profile = Profile()
