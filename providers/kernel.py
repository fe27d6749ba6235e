"""The JSON in a text, however that is cut into pieces: what a model without a JSON mode says around it is left out.

    Here you are: ```json {…} ```  →  {…}

Law: from the first bracket to its partner, character for character. Whether that is JSON is not judged here
(`amending`): of a text whose first bracket opens something else the judge is shown that, and refuses it. What comes
after the partner is left out, a second value too: one was asked for.
"""

from __future__ import annotations

import re

from providers.chat import Citation

_OPENING = re.compile(r"[{\[]")
#: What decides where a value ends; of an escape the second character may come with the next piece.
_MARKS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


class Kernel:
    """Looks for the value in one text."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._before: list[str] = []
        self._depth = 0
        self._quoted = False
        self._escaping = False
        self._over = False
        #: Characters before the value, and of it.
        self._skipped = self._length = 0

    def feed(self, text: str) -> str:
        """What of this piece belongs to the value."""
        if self._over or not text:
            return ""
        begin = 0
        if not self._depth:
            opening = _OPENING.search(text)
            if opening is None:
                self._before.append(text)
                return ""
            begin = opening.start()
            self._skipped = sum(map(len, self._before)) + begin
            self._before.clear()
        value = text[begin : self._end(text, begin)]
        self._length += len(value)
        return value

    def last(self) -> str:
        """The words that were held back, when no value has come after them."""
        words, self._before = "".join(self._before), []
        return words

    def placed(self, citations: list[Citation]) -> list[Citation]:
        """The sources of the value, by their places in it; all of them where there is no value."""
        if not self._length:
            return citations
        skipped, length = self._skipped, self._length
        moved = [
            Citation(one.url, one.title, max(0, one.start - skipped), min(one.end - skipped, length))
            for one in citations
        ]
        return [one for one in moved if one.start < one.end]

    def _end(self, text: str, begin: int) -> int:
        """Where in this piece the value ends, or where the piece does."""
        begin += self._escaping
        self._escaping = False
        for mark in _MARKS.finditer(text, begin):
            match mark[0]:
                case "\\":
                    self._escaping = True
                case '"':
                    self._quoted = not self._quoted
                case "{" | "[" if not self._quoted:
                    self._depth += 1
                case "}" | "]" if not self._quoted:
                    self._depth -= 1
                case _:
                    pass
            if not self._depth:
                self._over = True
                return mark.end()
        return len(text)
