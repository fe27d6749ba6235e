"""One attempt of a request for a response: as it is, where the provider has that API, else as a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from msgspec import field

from gateway.calls import Answer, Chat, Opened, paid
from gateway.catalog import Deployment
from gateway.metering import estimated
from providers import client
from providers.chat import Json
from providers.dialect import Amends, Call
from providers.dialects import OPENAI
from providers.dialects.responses import NATIVE, Asked, Form, decode, judge, native
from providers.transport import Transport

#: The capability of models that think before they answer.
_THINKS = "reasoning"


class Responding(Chat):
    """A request for a response on its way, with what was said before it."""

    asked: Asked
    earlier: Sequence[Json] = ()
    referenced: Mapping[str, Json] = field(default_factory=dict[str, Json])

    def encode(self, deployment: Deployment) -> Call:
        """What the deployment would be sent. Raises `Inexpressible`."""
        if not _has_the_api(deployment):
            return super().encode(deployment)
        thinks = _THINKS in (deployment.capabilities or ())
        call = native.encode(
            self.asked, self.earlier, self.referenced, deployment.target, thinks=thinks, drop=self.drop
        )
        if self.validate and (schema := self.asked.schema) is not None:
            call.amends = Amends(schema=schema)
        return self.checked(call)

    async def whole(
        self, transport: Transport, deployment: Deployment, call: Call, deadline: float, *, created: int
    ) -> Answer:
        """Ask for the complete answer; `created` (Unix seconds) dates one whose provider does not. Raises a `Fault`."""
        if call.path != native.PATH:
            return await super().whole(transport, deployment, call, deadline, created=created)
        received = await client.send(transport, deployment.endpoint, NATIVE, call, deadline=deadline)
        told, reply = decode(received.body)
        if told.get("usage") is None:
            # Some servers do not count; the estimate is better than a price of nothing.
            reply.usage = estimated(self.request.input_tokens, reply)
        if (check := self.check(call)) is not None:
            with paid(reply.usage):
                judge(told, check)
        body = self._writing.adopt(told, deployment.provider)
        finish = reply.choices[0].finish_reason
        return Answer(body, reply.usage, finish, call.dropped, received.headers, reply, model=reply.model)

    async def stream(self, transport: Transport, deployment: Deployment, call: Call, deadline: float) -> Opened:
        """Ask for a stream and wait for its first content. Raises a `Fault`."""
        if call.path != native.PATH:
            return await super().stream(transport, deployment, call, deadline)
        async with AsyncExitStack() as stack:
            flow = await stack.enter_async_context(
                client.stream(transport, deployment.endpoint, NATIVE, call, deadline=deadline)
            )
            relay = self._writing.relay(deployment.provider, self.check(call))
            return Opened(flow, relay, call.dropped, stack.pop_all())

    @property
    def _writing(self) -> Form:
        assert isinstance(self.form, Form), "responses are written as such"
        return self.form


def _has_the_api(deployment: Deployment) -> bool:
    return deployment.dialect.name == OPENAI.name and deployment.target.profile.responses
