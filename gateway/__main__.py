"""`python -m gateway`: the `steelyard` command where its script is not on the path."""

from __future__ import annotations

from gateway.cli import main

if __name__ == "__main__":
    main()
