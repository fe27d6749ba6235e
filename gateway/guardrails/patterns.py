"""What is known by name, and how it is found.

Each is an expression, where it takes one a judgement of its match (a card's and an IBAN's check digits), and what tells
where at the end of a text one may have begun: a stream is held back from there. That is asked for every event, so it is
answered by the characters that a match can have, at the speed of C.

    e-mail addresses · telephone numbers (international, or of North America with separators) · payment cards (their
    issuers' numbers and lengths, Luhn) · IBANs (lengths by country, ISO 7064) · API keys of well-known forms · private
    keys in PEM form · JSON Web Tokens
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate

from msgspec import Struct

from gateway.guardrails.regexes import Regex, compiled
from gateway.guardrails.spots import TooMany
from gateway.guardrails.views import views

#: Of what one pattern finds or has to judge, and of what is redacted in a body; each takes some 20 µs of everybody's.
MOST = 20_000
Span = tuple[int, int]
#: Tells which stretches of a candidate are what is looked for.
Judge = Callable[[str], Iterator[Span]]


class Pattern(Struct, frozen=True):
    """One: `longest` bounds what of it is held back, in characters; longer ones end a stream."""

    name: str
    expression: str
    regex: Regex
    longest: int
    #: From where on the end of a text may be the beginning of a match; None: so may the last `longest` characters.
    begun: Callable[[str], int] | None = None
    judge: Judge | None = None

    def find(self, text: str) -> Iterator[Span]:
        """Where in the text, in no order. Raises `TooMany`."""
        for view in views(text):
            for number, found in enumerate(self.regex.finditer(view)):
                if number >= MOST:
                    raise TooMany
                start, end = found.span()
                if self.judge is not None:
                    yield from ((start + one, start + two) for one, two in self.judge(view[start:end]))
                elif end > start:
                    yield start, end

    def may_begin(self, text: str) -> int:
        """From where on the end of the text may be the beginning of a match."""
        first = max(0, len(text) - self.longest + 1)
        return first if self.begun is None else max(first, min(map(self.begun, views(text))))


def own(name: str, expression: str, longest: int) -> Pattern:
    """An expression of the operator's. Raises `BadRegex`."""
    return Pattern(name, expression, compiled(expression), longest)


_GROUP = re.compile(r"[ -]")
#: Digits that tell an issuer.
_ISSUER = 4
#: First digits, and the lengths of such numbers: Visa, Mastercard, American Express, Discover, Diners Club, JCB,
#: UnionPay, Maestro.
_ISSUERS = (
    (re.compile(r"4"), {13, 16, 19}),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"6011|65|64[4-9]"), {16, 19}),
    (re.compile(r"30[0-5]|3095|3[689]"), {14, 16, 19}),
    (re.compile(r"35(?:2[89]|[3-8])"), {16, 19}),
    (re.compile(r"62|81"), {16, 17, 18, 19}),
    (re.compile(r"50|5[6-9]|6"), {13, 14, 15, 16, 17, 18, 19}),
)
#: Characters of an IBAN, by its country (SWIFT's registry).
_LENGTHS = {
    country: int(length)
    for length, countries in (
        group.split(":")
        for group in [
            "15:NO",
            "16:BE",
            "18:DK,FK,FO,FI,GL,NL,SD",
            "19:MK,SI",
            "20:AT,BA,EE,KZ,LT,LU,MN,XK",
            "21:CH,HR,LI,LV",
            "22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA",
            "23:AE,GI,IL,IQ,OM,SO,TL",
            "24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG",
            "25:LY,PT,ST",
            "26:IS,TR",
            "27:BI,DJ,FR,GR,IT,MC,MR,SM",
            "28:AL,AZ,BY,CY,DO,GT,HN,HU,LB,NI,PL,SV",
            "29:BR,EG,PS,QA,UA",
            "30:JO,KW,MU,YE",
            "31:MT,SC",
            "32:LC",
            "33:RU",
        ]
    )
    for country in countries.split(",")
}


def _cards(run: str) -> Iterator[Span]:
    """Card numbers in a run of digits with single spaces or hyphens, beginning and ending with a group."""
    groups = _GROUP.split(run)
    digits = "".join(groups)
    begun = [0, *accumulate(map(len, groups))]
    starts = [(at, lengths) for at in begun if (lengths := _lengths(digits[at : at + _ISSUER]))]
    if not starts:
        return
    sums, after = _Sums(digits), 0
    for start, lengths in starts:
        for length in lengths if start >= after else ():
            end = start + length
            if end in begun and sums.check(start, end) and len(set(digits[start:end])) > 1:
                after = end
                # Between two groups is one sign.
                yield start + begun.index(start), end + begun.index(end) - 1
                break


@cache
def _lengths(first: str) -> tuple[int, ...]:
    """How long cards are that begin so, the longest first."""
    return tuple(sorted({one for issuer, lengths in _ISSUERS if issuer.match(first) for one in lengths}, reverse=True))


class _Sums:
    """Luhn's sums of all stretches of some digits, each of which is asked for: runs of digits may be a whole prompt."""

    def __init__(self, digits: str) -> None:
        """Those up to each place, when every second digit is doubled from the first or from the second on."""
        self._sums = ([0], [0])
        for place, one in enumerate(map(int, digits)):
            doubled = one * 2 - 9 * (one > 4)
            for which, sums in enumerate(self._sums):
                sums.append(sums[-1] + (doubled if place % 2 == which else one))

    def check(self, start: int, end: int) -> bool:
        """The last digit is the check digit of those before."""
        sums = self._sums[end % 2]
        return (sums[end] - sums[start]) % 10 == 0


def _ibans(run: str) -> Iterator[Span]:
    """The IBAN at the beginning of a run of letters, digits and single spaces, if one is there."""
    length = _LENGTHS.get(run[:2].upper(), 0)
    count = 0
    for end, character in enumerate(run, 1):
        count += character != " "
        if count == length:
            whole = end == len(run) or not (run[end].isalnum() and run[end].isascii())
            number = run[:end].replace(" ", "").upper()
            if whole and int("".join(str(int(one, 36)) for one in number[4:] + number[:4])) % 97 == 1:
                yield 0, end
            return


def _keys(candidate: str) -> Iterator[Span]:
    """A key is drawn by chance, and words joined by hyphens are not: it has digits among its letters."""
    if any(map(str.isdigit, candidate)):
        yield 0, len(candidate)


#: Characters of an address before its sign.
_LOCAL = 64
_EMAIL = r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24}"
_PHONE = (
    r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,13}\b"
    r"|(?:\(\d{3}\) ?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b"
)
_CARD = r"\b\d(?:[ -]?\d){12,40}\b"
_IBAN = r"(?i)\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){10,31}"
#: Forms that providers document, or that scanners of repositories go by.
_API_KEY = (
    r"\b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]{1,12}[-_]){0,4}[A-Za-z0-9_-]{16,200}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bAIza[A-Za-z0-9_-]{35}"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}|\bglpat-[A-Za-z0-9_-]{20,64}"
    r"|\bxox[abeprs]-[A-Za-z0-9-]{10,250}"
    r"|\b(?:xai|gsk|hf|npm|dop_v1)[-_][A-Za-z0-9]{30,200}"
    r"|\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"
)
#: Without its last line it goes on to the end of the text.
_PRIVATE_KEY = r"-----BEGIN[A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,8}-----(?:[^-]|-[^-])*(?:-----END[A-Z0-9 ]{0,60}-----)?"
_JWT = r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
_LEAD = re.compile(r"[+(0-9]")
_IBAN_BEGUN = re.compile(r"\b[A-Z](?:[A-Z](?:[0-9](?:[0-9](?: ?[A-Z0-9]){0,40} ?)?)?)?\Z", re.IGNORECASE | re.ASCII)
_BEGIN = "-----BEGIN"
_HEADLINE = re.compile(r"-----BEGIN([A-Z0-9 ]{0,60})(-{0,5})")
_ENDLINE = re.compile(r"-----END[A-Z0-9 ]{0,60}-----")


def _run(characters: str) -> Callable[[str], int]:
    """It has only these characters."""
    return lambda text: len(text.rstrip(characters))


def _email_begun(text: str) -> int:
    """Before its sign, what may stand there; without one, as much as may."""
    at = len(text.rstrip(_LETTERS + _DIGITS + "._%+'-@"))
    sign = text.find("@", at)
    return max(at, (len(text) if sign < 0 else sign) - _LOCAL)


def _jwt_begun(text: str) -> int:
    at = text.find("eyJ", len(text.rstrip(_LETTERS + _DIGITS + "._-")))
    if at >= 0:
        return at
    return len(text) - next(size for size in (2, 1, 0) if text.endswith("eyJ"[:size]))


def _number_begun(text: str) -> int:
    """Digits, and what stands between and before them."""
    at = len(text.rstrip("0123456789 ().-+"))
    lead = _LEAD.search(text, at)
    return len(text) if lead is None else lead.start()


def _iban_begun(text: str) -> int:
    # Never more than the end of it: the expression looks again from every word.
    offset = max(0, len(text) - 80)
    found = _IBAN_BEGUN.search(text, offset)
    return len(text) if found is None else found.start()


def _private_key_begun(text: str) -> int:
    at = text.rfind(_BEGIN)
    head = _HEADLINE.match(text, at) if at >= 0 else None
    if head is not None:
        is_key = "PRIVATE KEY" in head[1] and head[2] == "-----"
        if head.end() == len(text) or (is_key and _ENDLINE.search(text, head.end()) is None):
            return at
    dashes = next(size for size in range(len(_BEGIN), -1, -1) if text.endswith(_BEGIN[:size]))
    return len(text) - dashes


#: By name.
KNOWN: dict[str, Pattern] = {
    one.name: one
    for one in (
        Pattern("email", _EMAIL, compiled(_EMAIL), 640, _email_begun),
        Pattern("phone", _PHONE, compiled(_PHONE), 40, _number_begun),
        Pattern("card", _CARD, compiled(_CARD), 90, _number_begun, _cards),
        Pattern("iban", _IBAN, compiled(_IBAN), 80, _iban_begun, _ibans),
        Pattern("api_key", _API_KEY, compiled(_API_KEY), 280, _run(_LETTERS + _DIGITS + "._-"), _keys),
        Pattern("private_key", _PRIVATE_KEY, compiled(_PRIVATE_KEY), 8_192, _private_key_begun),
        Pattern("jwt", _JWT, compiled(_JWT), 8_192, _jwt_begun),
    )
}
