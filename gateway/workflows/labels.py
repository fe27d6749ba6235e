"""What files are called and what they are said to be, by people, models and servers: made harmless. Pure.

A name is a label, never a path: where a file lies follows from ids alone. It is made safe all the same, since whoever
downloads it gives it to a file system, and a browser to a person.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from urllib.parse import unquote, urlsplit

BYTES = "application/octet-stream"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
#: As RFC 9110 has it, parameters as tokens: what is quoted is not needed to say what a file is.
MEDIA_TYPE = (
    r"^[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(?:; ?[A-Za-z0-9_-]{1,32}=[A-Za-z0-9_.:+-]{1,64}){0,4}$"
)
_MEDIA_TYPE = re.compile(MEDIA_TYPE.removeprefix("^").removesuffix("$"))
#: What no file system, or not every one, lets into a name.
_SEPARATORS = frozenset('/\\:*?"<>|')
#: Bytes of a name: most file systems take 255, and whoever downloads may add a number.
_LONGEST = 200
#: An ending that is kept when a name is cut.
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,10}$")
_TEXTUAL = re.compile(
    r"text/.*|.*[/+](?:json|xml|yaml)|application/(?:x-ndjson|x-yaml|javascript|x-www-form-urlencoded)"
)


def safe_name(wanted: str, otherwise: str) -> str:
    """The name as every file system takes it, without a way to another folder; `otherwise` if nothing is left."""
    letters = unicodedata.normalize("NFC", wanted)
    kept = "".join("_" if one in _SEPARATORS or unicodedata.category(one)[0] == "C" else one for one in letters)
    kept = " ".join(kept.split()).strip(". ")
    ending = found[0] if (found := _ENDING.search(kept)) else ""
    stem = kept.removesuffix(ending).encode()[: _LONGEST - len(ending)].decode(errors="ignore")
    return f"{stem.rstrip('. ')}{ending}" or otherwise


def name_of_url(url: str, media_type: str, otherwise: str) -> str:
    """What a file that came from there is called: the last step of the path, or else by what it is."""
    last = unquote(urlsplit(url).path.rpartition("/")[2])
    ending = mimetypes.guess_extension(essence(media_type)) or ".bin"
    return safe_name(last, f"{otherwise}{ending}")


def media_type(told: str) -> str:
    """What a server says that a file is, if it says so in good order."""
    told = told.strip()
    return told if _MEDIA_TYPE.fullmatch(told) else BYTES


def with_charset(told: str) -> str:
    """The media type of a text that is written in UTF-8."""
    plain = told.lower()
    return f"{told}; charset=utf-8" if plain.startswith("text/") and "charset=" not in plain else told


def essence(told: str) -> str:
    """A media type without its parameters."""
    return told.partition(";")[0].strip().lower()


def textual(told: str) -> bool:
    """Whether an answer of that media type is text, JSON among it."""
    return bool(_TEXTUAL.fullmatch(essence(told)))
