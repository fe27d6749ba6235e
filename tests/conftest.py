"""For every test: hypothesis watches no clock, since machines are shared, and finds what it finds every time.

`--hypothesis-profile=search` looks further, with other examples at every run.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("steelyard", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("steelyard")
