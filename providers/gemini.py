"""Google Gemini, by the Gemini API (not Vertex AI, which has other addresses and OAuth tokens instead of keys).

Models from Gemini 3 on refuse `candidateCount` above 1 with a 400 (https://github.com/googleapis/js-genai/issues/1609).
"""

from __future__ import annotations

from providers.dialect import Profile
from providers.endpoint import Provider

GEMINI = Provider(
    name="gemini",
    dialect="gemini",
    base_url="https://generativelanguage.googleapis.com",
    base_url_variable="GEMINI_BASE_URL",
    key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    home="https://aistudio.google.com/apikey",
    gen_ai="gcp.gemini",
    profile=Profile(single_choice=r"gemini-(?:[3-9]|\d\d)"),
)
