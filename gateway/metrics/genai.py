"""The metrics of OpenTelemetry's semantic conventions for generative AI, as Prometheus spells their names.

Dots become underscores, and the unit is part of the name. The conventions' state is "development": names, labels and
bounds are those of November 2026. An attribute that is absent is an empty label.

Not told: `server.address` and `server.port`, which the provider's name stands for; `time_per_output_chunk`, since it
would be counted for every event of every stream; the name of a workflow, since anybody may make thousands.
"""

from __future__ import annotations

from gateway.metrics.buckets import GENAI_SECONDS, GENAI_TOKENS, GENAI_WORKFLOW_SECONDS
from gateway.metrics.registry import Registry

_OPERATION = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model")


class GenAi(Registry):
    """See the module."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """See `Registry`."""
        super().__init__(shared_dir=shared_dir)
        self._about("OpenTelemetry GenAI")
        self.genai_duration = self._histogram(
            "gen_ai_client_operation_duration_seconds",
            "Calls of providers, those that failed included: gen_ai.client.operation.duration.",
            GENAI_SECONDS,
            *_OPERATION,
            "error_type",
        )
        self.genai_first_chunk = self._histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Streams, from the call to the first content: gen_ai.client.operation.time_to_first_chunk.",
            GENAI_SECONDS,
            *_OPERATION,
        )
        self.genai_tokens = self._histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call that are paid for, input or output: gen_ai.client.token.usage.",
            GENAI_TOKENS,
            *_OPERATION,
            "gen_ai_token_type",
        )
        self.genai_workflow = self._histogram(
            "gen_ai_workflow_duration_seconds",
            "Executions of workflows, from their first start to their end: gen_ai.workflow.duration.",
            GENAI_WORKFLOW_SECONDS,
            "error_type",
        )
        self.genai_tool = self._histogram(
            "gen_ai_execute_tool_duration_seconds",
            "Calls of MCP servers' tools: gen_ai.execute_tool.duration.",
            GENAI_SECONDS,
            "gen_ai_tool_name",
            "error_type",
        )
