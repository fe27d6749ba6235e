"""Which scripts the words of a text are written in; digits, punctuation, signs and emoji are of none.

Languages are not told: German and English are both Latin, and to tell them apart is a guess about every short answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from gateway.guardrails.matching import Blocked
from gateway.settings.guardrails import Language, Script

#: Letters before a text that still comes is judged: a formula or a quoted word at its beginning is no language yet.
#: Until then a stream waits; doubled, for twice as long.
_ENOUGH = 64
#: Ranges of Unicode's blocks, as they stand in the brackets of an expression.
_BLOCKS: dict[Script, str] = {
    "latin": "A-Za-zªºÀ-ÖØ-öø-ʯᴀ-ᵿḀ-ỿⅠ-ↈⱠ-Ɀ꜠-ꟿﬀ-ﬆＡ-Ｚａ-ｚ",
    "greek": "Ͱ-Ͽἀ-῿",
    "cyrillic": "Ѐ-ԯᲀ-ᲈⷠ-ⷿꙀ-ꚟ",
    "armenian": "Ա-֏ﬓ-ﬗ",
    "georgian": "Ⴀ-ჿᲐ-Ჿⴀ-ⴭ",
    "hebrew": "א-״יִ-ﭏ",
    "arabic": "ؠ-ۿݐ-ݿࡰ-ࣿﭐ-﷿ﹰ-ﻼ",
    "devanagari": "ऄ-ॿ꣠-ꣿ",
    "bengali": "ঀ-৾",
    "tamil": "ஂ-௺",
    "thai": "ก-๛",
    "han": "々〇㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f",
    "japanese": "ぁ-ゟ゠-ヿㇰ-ㇿｦ-ﾟ々〇㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f",
    "hangul": "ᄀ-ᇿㄱ-ㆎꥠ-ꥼ가-ힰ-ퟻﾡ-ￜ",
}


class Letters:
    """Counts the letters of one answer as it comes."""

    def __init__(self, others: re.Pattern[str], foreign: float) -> None:
        """Up to the share `foreign` of them may be found by `others`."""
        self._others = others
        self._share = foreign
        self._foreign = 0
        #: Letters so far.
        self.count = 0

    def feed(self, text: str) -> None:
        """More of it."""
        self.count += sum(map(str.isalpha, text))
        self._foreign += sum(character.isalpha() for piece in self._others.findall(text) for character in piece)

    @property
    def fine(self) -> bool:
        """What has come is within the bound."""
        return self._foreign <= self._share * self.count


class Languages:
    """Judges the scripts of all answers to one request, by every guardrail about them."""

    def __init__(self, guardrails: Iterable[tuple[str, Language]]) -> None:
        """These, by their names."""
        self._guardrails = [(name, _others(wanted), wanted.foreign) for name, wanted in guardrails]
        self._answers: dict[str, list[tuple[str, Letters]]] = {}

    def feed(self, which: str, text: str) -> None:
        """More words of one of the answers. Raises `Blocked`."""
        answer = self._answers.get(which)
        if answer is None:
            answer = [(name, Letters(others, foreign)) for name, others, foreign in self._guardrails]
            self._answers[which] = answer
        for name, letters in answer:
            letters.feed(text)
            if letters.count >= _ENOUGH and not letters.fine:
                raise Blocked(name)

    @property
    def undecided(self) -> bool:
        """Too little has come of one of them to tell."""
        return not self._answers or any(one.count < _ENOUGH for answer in self._answers.values() for _, one in answer)

    def end(self) -> None:
        """No more comes. Raises `Blocked`."""
        for answer in self._answers.values():
            for name, letters in answer:
                if not letters.fine:
                    raise Blocked(name)


@cache
def _others(wanted: Language) -> re.Pattern[str]:
    return re.compile(f"[^{''.join(_BLOCKS[one] for one in wanted.scripts)}]+")
