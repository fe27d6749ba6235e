"""As much of `curl` as the documents use, for machines without it. A status from 400 on ends it with 22, like `--fail`.

python as_curl.py -s -X POST http://… -H 'name: value' -d '…'
"""

from __future__ import annotations

import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def _main(words: list[str]) -> int:
    url, data, method, headers = "", None, None, dict[str, str]()
    rest = iter(words)
    for word in rest:
        match word:
            case "-d":
                data = next(rest).encode()
            case "-H":
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            case "-X":
                method = next(rest)
            case "-s" | "-sS":
                pass
            case _:
                assert not word.startswith("-"), f"curl is asked for {word}, which is not known here"
                url = word if "://" in word else f"http://{word}"
    try:
        with urlopen(Request(url, data, headers, method=method), timeout=100) as answer:
            print(answer.read().decode())
            return 0
    except HTTPError as exc:
        with exc:
            print(exc.code, exc.read().decode(), file=sys.stderr)
        return 22


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
