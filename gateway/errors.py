"""What a caller is told went wrong. How it looks on the wire is `api.faults`'s business.

GatewayError                    status  type                    source
├── BadRequest                  400     invalid_request_error   caller
├── Unauthorized                401     authentication_error    caller
├── Forbidden                   403     permission_error        policy
├── UnknownModel                404     invalid_request_error   caller
├── NotFound                    404     not_found_error         caller
├── WrongMethod                 405     invalid_request_error   caller
├── DeadlineExceeded            408     timeout_error           gateway
├── Conflict                    409     invalid_request_error   caller
├── Gone                        410     not_found_error         gateway
├── TooLarge                    413     invalid_request_error   caller
├── Invalid                     422     invalid_request_error   caller, with all that is wrong
├── ContentFiltered             400     invalid_request_error   policy, a guardrail
├── ProviderRejected            400     invalid_request_error   provider
├── AnswerMisshapen             502     api_error               provider
├── StreamBroken                502     api_error               provider, after the stream's beginning
├── BeyondLimit                 413     invalid_request_error   policy, can never be within a limit
├── RateLimited                 429     rate_limit_error        policy
├── QuotaExceeded               429     insufficient_quota      policy
├── AlreadyReplaying            429     rate_limit_error        gateway
├── TooManyWrongKeys            429     rate_limit_error        policy
├── NoneAnswered                by what they did                provider, of a comparison
├── ToolFailed                  502     api_error               provider, an MCP server
├── ToolTimedOut                504     timeout_error           provider, an MCP server
├── McpUnavailable              503     overloaded_error        provider, an MCP server
├── Busy                        503     overloaded_error        gateway
└── ProvidersFailed             by what they did                provider
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from providers.dialect import Inexpressible, InvalidRequest
from providers.errors import (
    ContextTooLong,
    Fault,
    Garbled,
    Misconfigured,
    Misshapen,
    Refused,
    Rejected,
    Throttled,
    TimedOut,
)

Source = Literal["caller", "policy", "gateway", "provider"]


class GatewayError(Exception):
    """The request failed."""

    status: int = 500
    type: str = "api_error"
    code: str | None = "internal_error"
    source: ClassVar[Source] = "gateway"

    def __init__(
        self,
        message: str = "",
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Say it in one sentence that names the fix; `param` is the field, `retry_after` in seconds."""
        super().__init__(message or (self.__doc__ or "").strip())
        self.message = str(self.args[0])
        self.param = param
        self.code = code or type(self).code
        self.retry_after = retry_after
        #: What each provider answered, for the caller to see: `{provider, outcome, seconds}`.
        self.attempts: list[dict[str, Any]] = []
        #: All that is wrong with what was sent, where more than one thing can be: `{path, message}`.
        self.problems: list[dict[str, str]] = []


class BadRequest(GatewayError):
    """The request is not valid."""

    status, type, code, source = 400, "invalid_request_error", "invalid_request", "caller"


class Unauthorized(GatewayError):
    """No valid API key was given. Send one as 'Authorization: Bearer <key>', 'x-api-key' or 'x-goog-api-key'."""

    status, type, code, source = 401, "authentication_error", "invalid_api_key", "caller"


class Forbidden(GatewayError):
    """This key may not do that."""

    status, type, code, source = 403, "permission_error", "permission_denied", "policy"


class UnknownModel(GatewayError):
    """No such model."""

    status, type, code, source = 404, "invalid_request_error", "model_not_found", "caller"


class NotFound(GatewayError):
    """There is nothing at this address."""

    status, type, code, source = 404, "not_found_error", "not_found", "caller"


class WrongMethod(GatewayError):
    """This address takes POST only."""

    status, type, code, source = 405, "invalid_request_error", "method_not_allowed", "caller"


class Conflict(GatewayError):
    """That cannot be done with what is there."""

    status, type, code, source = 409, "invalid_request_error", "conflict", "caller"


class Gone(GatewayError):
    """That was here, and is no more."""

    status, type, code, source = 410, "not_found_error", "gone", "gateway"


class TooLarge(GatewayError):
    """The request body is too large."""

    status, type, code, source = 413, "invalid_request_error", "request_too_large", "caller"


class DeadlineExceeded(GatewayError):
    """The deadline passed: X-Steelyard-Timeout-Ms or 'timeout' of the request, else STEELYARD_REQUEST_TIMEOUT."""

    status, type, code, source = 408, "timeout_error", "deadline_exceeded", "gateway"


class Busy(GatewayError):
    """The gateway cannot serve this right now."""

    status, type, code, source = 503, "overloaded_error", "service_unavailable", "gateway"


class McpUnavailable(GatewayError):
    """The MCP server cannot be had right now."""

    status, type, code, source = 503, "overloaded_error", "mcp_server_unavailable", "provider"


class ToolTimedOut(GatewayError):
    """The tool of an MCP server took too long."""

    status, type, code, source = 504, "timeout_error", "tool_timeout", "provider"


class ToolFailed(GatewayError):
    """The MCP server answered with an error of the protocol instead of running the tool."""

    status, type, code, source = 502, "api_error", "tool_failed", "provider"


class BeyondLimit(GatewayError):
    """This request alone is larger than what may be used in a minute."""

    status, type, code, source = 413, "invalid_request_error", "request_too_large", "policy"


class RateLimited(GatewayError):
    """A limit on requests is reached. Wait as long as 'Retry-After' says."""

    status, type, code, source = 429, "rate_limit_error", "rate_limit_exceeded", "policy"


class QuotaExceeded(GatewayError):
    """A budget is spent: asking again is of no use before it begins anew."""

    status, type, code, source = 429, "insufficient_quota", "insufficient_quota", "policy"
    #: Whose it is: a key's, a tag's or a provider's.
    kind: str = "key"


class ContentFiltered(GatewayError):
    """A guardrail has refused the prompt, or withheld the answer."""

    status, type, code, source = 400, "invalid_request_error", "content_filter", "policy"

    def __init__(self, guardrail: str, where: Literal["request", "response"]) -> None:
        """Name the guardrail; what it found is not repeated."""
        done = "The prompt was refused" if where == "request" else "The answer was withheld"
        super().__init__(f"{done} by the guardrail '{guardrail}'.")


class AlreadyReplaying(GatewayError):
    """A replay is being worked out; one runs at a time. Ask again when it has ended."""

    status, type, code, source = 429, "rate_limit_error", "replay_running", "gateway"


class TooManyWrongKeys(GatewayError):
    """Too many wrong keys came from this address."""

    status, type, code, source = 429, "rate_limit_error", "too_many_wrong_keys", "policy"

    def __init__(self, seconds: float) -> None:
        """Say how long until one is looked at as a mistake again."""
        told = f"Try no other for {math.ceil(seconds)} s; a right key is answered at once."
        super().__init__(f"{self.__doc__} {told}", retry_after=seconds)


class ProvidersFailed(GatewayError):
    """No provider gave an answer."""

    status, type, code, source = 503, "overloaded_error", "no_healthy_provider", "provider"

    def __init__(self, faults: list[tuple[str, Fault]], *, retry_after: float | None = None) -> None:
        """Judge by what the providers did.

        Args:
            faults: each attempt's deployment and fault, in order; empty when every provider was excluded beforehand.
            retry_after: seconds until the first excluded provider may be asked again.
        """
        said = dict.fromkeys(f"{name}: {fault.message}" for name, fault in faults)
        told = " ".join(list(said)[-3:])
        nobody = "Every provider has asked to wait." if retry_after is not None else "No provider is healthy right now."
        super().__init__(f"No provider answered. {told}" if told else nobody)
        self.faults = faults
        waits = [fault.retry_after for _, fault in faults if fault.retry_after is not None]
        if retry_after is not None:
            waits.append(retry_after)
        self.retry_after = min(waits, default=1.0)
        kinds = {_family(fault) for _, fault in faults}
        if not faults and retry_after is not None:
            # Nobody was asked, because everybody had said when to ask again.
            kinds = {Throttled}
        if len(kinds) == 1 and (verdict := _VERDICTS.get(kinds.pop())):
            self.status, self.type, self.code = verdict


class NoneAnswered(GatewayError):
    """Every deployment that was compared failed."""

    status, type, code, source = 502, "api_error", "none_answered", "provider"

    def __init__(self, errors: Sequence[GatewayError]) -> None:
        """Say what each said; where all failed alike, fail like them."""
        super().__init__(" ".join(dict.fromkeys(error.message for error in errors)))
        alike = {(error.status, error.type, error.code) for error in errors}
        if len(alike) == 1:
            self.status, self.type, self.code = alike.pop()
        self.attempts = [attempt for error in errors for attempt in error.attempts]
        self.retry_after = min((error.retry_after for error in errors if error.retry_after is not None), default=None)


class Invalid(GatewayError):
    """What was sent has the right form, and problems within."""

    status, type, code, source = 422, "invalid_request_error", "invalid", "caller"

    def __init__(self, message: str, problems: Sequence[tuple[str, str]], *, param: str, code: str) -> None:
        """Say how many there are; `problems` are their places (JSONPath) and what to do."""
        first = "; ".join(f"{path}: {said}" for path, said in problems[:3])
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        super().__init__(f"{message} {first}{more}", param=param, code=code)
        self.problems = [{"path": path, "message": said} for path, said in problems]


class ProviderRejected(GatewayError):
    """The provider rejected the request."""

    status, type, code, source = 400, "invalid_request_error", "invalid_request", "provider"

    def __init__(self, name: str, fault: Fault) -> None:
        """Pass on the verdict of the deployment `name` on the caller's request."""
        super().__init__(f"{name}: {fault.message}", param=fault.param)
        self.fault = fault
        if isinstance(fault, ContextTooLong):
            self.code = "context_length_exceeded"
        elif isinstance(fault, Refused):
            self.code = "content_policy_violation"
        else:
            self.code = fault.code or self.code
        if fault.status in {413, 422}:
            self.status = fault.status


class AnswerMisshapen(GatewayError):
    """The answer does not follow the schema that was asked for."""

    status, type, code, source = 502, "api_error", "schema_mismatch", "provider"

    def __init__(self, name: str, fault: Misshapen) -> None:
        """Say which deployment's answer it was, and where it does not follow."""
        super().__init__(f"{name}: {fault.message}", param=fault.param)


class StreamBroken(GatewayError):
    """The provider's stream broke after its beginning."""

    status, type, code, source = 502, "api_error", "stream_broken", "provider"

    def __init__(self, name: str, fault: Fault) -> None:
        """Say which deployment's stream broke, and how."""
        super().__init__(f"{name}: {fault.message}")
        self.fault = fault
        if isinstance(fault, Misshapen):
            self.code = fault.code or AnswerMisshapen.code


_VERDICTS: dict[type[Fault], tuple[int, str, str]] = {
    Throttled: (429, "rate_limit_error", "rate_limit_exceeded"),
    Garbled: (502, "api_error", "bad_gateway"),
    TimedOut: (504, "timeout_error", "provider_timeout"),
    Misconfigured: (502, "api_error", "provider_misconfigured"),
}


def _family(fault: Fault) -> type[Fault]:
    return next((known for known in _VERDICTS if isinstance(fault, known)), Fault)


def of_invalid(exc: InvalidRequest) -> BadRequest:
    """A dialect's complaint about the caller's body."""
    return BadRequest(exc.message, param=exc.param, code=exc.code)


def of_fault(name: str, fault: Fault) -> GatewayError:
    """The error that stands for one provider's fault, when no other provider may be tried."""
    if isinstance(fault, Misshapen):
        return AnswerMisshapen(name, fault)
    return ProviderRejected(name, fault) if isinstance(fault, Rejected) else ProvidersFailed([(name, fault)])


def refusal(found: dict[str, Inexpressible]) -> BadRequest:
    """No candidate's dialect can say what the caller asked for: which fields, and whose dialects."""
    fields = sorted({name for exc in found.values() for name in exc.fields})
    why = "".join(dict.fromkeys(f" {exc.why}" for exc in found.values() if exc.why))
    return BadRequest(
        f"Not supported by {', '.join(sorted(found))}: {', '.join(fields)}.{why} Leave the field out, choose another "
        "model, or send 'X-Steelyard-Drop-Params: true' to have it dropped.",
        param=fields[0],
        code="unsupported_parameter",
    )
