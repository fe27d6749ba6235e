"""Embeddings without a model: a unit vector from the words of a text, so that like texts lie near each other.

    v = Σ over words w of  ±1 at FEATURES places chosen by the checksum of w,   then v / |v|

Feature hashing: two texts that share words have a positive cosine, others one near zero. Same text,
same vector, on every machine. The empty text points along the first axis.
"""

from __future__ import annotations

import math
import re
from zlib import crc32

#: Places per word. More would blur short texts into each other in few dimensions; fewer lets two words collide.
FEATURES = 8
_WORD = re.compile(r"\w+")


def embed(text: str, dimensions: int) -> list[float]:
    """The unit vector of a text."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()):
        bits = crc32(word.encode(errors="surrogatepass"))
        for _ in range(FEATURES):
            bits = (bits * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF  # a linear congruential step
            vector[(bits >> 8) % dimensions] += 1.0 if bits & 0x80000000 else -1.0
    length = math.sqrt(sum(x * x for x in vector))
    if not length:
        return [1.0] + [0.0] * (dimensions - 1)
    return [x / length for x in vector]
