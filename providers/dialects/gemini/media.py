"""Media types, in Google's words and in everybody else's.

A file by URL needs no type: the API reference calls `mimeType` optional and the fetched file has one. It is told
nevertheless where the address gives it away, as the official SDK does.
"""

from __future__ import annotations

from urllib.parse import urlsplit

#: The sounds of the API's documentation, by the name that `Audio.format` has for them.
AUDIO = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "aiff": "audio/aiff",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
}
_FORMATS = {media_type: name for name, media_type in AUDIO.items()} | {"audio/mpeg": "mp3", "audio/x-wav": "wav"}
_BY_ENDING = {
    "bmp": "image/bmp",
    "css": "text/css",
    "csv": "text/csv",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "htm": "text/html",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "png": "image/png",
    "rtf": "text/rtf",
    "txt": "text/plain",
    "webp": "image/webp",
    "xml": "text/xml",
}
#: Addresses that only Google can read: its Files API, and objects registered with it.
_GOOGLE_ONLY = ("https://generativelanguage.googleapis.com/", "gs://", "files/")


def audio_format(media_type: str) -> str:
    """`Audio.format` for a media type."""
    return _FORMATS.get(media_type, media_type.partition("/")[2])


def of_name(name: str | None) -> str | None:
    """The media type that a file's name gives away."""
    return _BY_ENDING.get(name.rpartition(".")[2].lower()) if name else None


def of_url(url: str) -> str | None:
    """The media type that an address gives away."""
    try:
        return of_name(urlsplit(url).path)
    except ValueError:
        return None


def is_public(url: str) -> bool:
    """Whether others than Google can fetch it."""
    return url.startswith(("https://", "http://")) and not url.startswith(_GOOGLE_ONLY)
