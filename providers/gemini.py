"""Google Gemini, by the Gemini API (not Vertex AI, which has other addresses and OAuth tokens instead of keys)."""

from __future__ import annotations

from providers.endpoint import Provider

GEMINI = Provider(
    name="gemini",
    dialect="gemini",
    base_url="https://generativelanguage.googleapis.com",
    base_url_variable="GEMINI_BASE_URL",
    key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    home="https://aistudio.google.com/apikey",
)
