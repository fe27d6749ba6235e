"""Anthropic. The version header is the only one its API has had since 2023: https://docs.claude.com/en/api/versioning."""

from __future__ import annotations

from providers.endpoint import Provider

ANTHROPIC = Provider(
    name="anthropic",
    dialect="anthropic",
    base_url="https://api.anthropic.com",
    base_url_variable="ANTHROPIC_BASE_URL",
    key_variables=("ANTHROPIC_API_KEY",),
    home="https://console.anthropic.com/settings/keys",
)
