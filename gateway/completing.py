"""One attempt of a request for completions: as it is, where the model writes on from a prompt, else as a chat.

Several prompts are several chats with the same deployment, side by side; streamed, one after the other. Where it gives
fewer answers to a call than were asked for, each prompt is several of them.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

from msgspec import field

from gateway.amended import Amended
from gateway.calls import Answer, Chat, Opened
from gateway.catalog import COMPLETIONS, Deployment
from providers import client
from providers.chat import ChatReply, ChatRequest, Usage, total
from providers.dialect import Call, Inexpressible
from providers.dialects import OPENAI
from providers.dialects.completions import joined
from providers.dialects.openai.encode import COMPLETIONS_PATH
from providers.errors import Fault
from providers.fitting import MOST_CALLS, fitted
from providers.in_turn import InTurn
from providers.transport import Transport


class Completion(Chat):
    """A request for completions on its way; `request` is its first prompt's, `others` are the further ones."""

    others: list[ChatRequest] = field(default_factory=list[ChatRequest])

    def encode(self, deployment: Deployment) -> Call:
        """What the deployment would be sent first. Raises `Inexpressible`."""
        if _writes_on(deployment):
            return OPENAI.encode_completion(self.request, deployment.target)
        if not self.others:
            return super().encode(deployment)
        prompts = 1 + len(self.others)
        if prompts > MOST_CALLS:
            raise Inexpressible((f"prompt (more than {MOST_CALLS})",), deployment.dialect.name)
        call = super().encode(deployment)
        each = 1 + len(call.more)
        if prompts * each > MOST_CALLS:
            why = f"{each} calls for each of {prompts} prompts are {prompts * each}, and {MOST_CALLS} are the most."
            raise Inexpressible(("n (of several prompts)",), deployment.dialect.name, why)
        # It stands for all of them, which are made here and not by whoever fans out the calls of one prompt.
        call.more = ()
        return call

    def _calls(self, deployment: Deployment) -> list[Call]:
        """All calls for all prompts, in the order of their answers."""
        firsts = [
            fitted(one, deployment.dialect, deployment.target, drop=self.drop) for one in (self.request, *self.others)
        ]
        return [call for first in firsts for call in (first, *first.more)]

    async def whole(
        self, transport: Transport, deployment: Deployment, call: Call, deadline: float, *, created: int
    ) -> Answer:
        """Ask for the complete answer; `created` (Unix seconds) dates one whose provider does not. Raises a `Fault`."""
        if call.path == COMPLETIONS_PATH:
            received = await client.send(transport, deployment.endpoint, deployment.dialect, call, deadline=deadline)
            reply = OPENAI.decode_completion(received.body)
            finish = reply.choices[0].finish_reason
            return Answer(received.body, reply.usage, finish, call.dropped, received.headers, reply)
        if not self.others:
            return await super().whole(transport, deployment, call, deadline, created=created)
        calls = self._calls(deployment)
        received = await _together(transport, deployment, calls, deadline)
        replies = self._all_decoded(deployment, calls, [told.body for told in received])
        for one, reply in zip(calls, replies, strict=True):
            # More than asked for would be taken for the next prompt's.
            reply.choices = reply.choices[: one.choices]
        reply = joined(replies)
        reply.created = reply.created or created
        finish = reply.choices[0].finish_reason if reply.choices else None
        return Answer(self.form.render(reply), reply.usage, finish, call.dropped, received[-1].headers, reply)

    def _all_decoded(self, deployment: Deployment, calls: list[Call], bodies: list[bytes]) -> list[ChatReply]:
        """The answers, in order. Raises the `Fault` of the first that is none, with what all the others cost."""
        replies: list[ChatReply] = []
        for at, (call, body) in enumerate(zip(calls, bodies, strict=True)):
            try:
                replies.append(self.decoded(deployment.dialect, call, body))
            except Fault as fault:
                others = _usages(deployment, [*bodies[:at], *bodies[at + 1 :]])
                fault.spent = total([*others, fault.spent or Usage()])
                raise
        return replies

    async def stream(self, transport: Transport, deployment: Deployment, call: Call, deadline: float) -> Opened:
        """Ask for a stream and wait for its first content. Raises a `Fault`."""
        if call.path != COMPLETIONS_PATH:
            if self.others:
                return await self._in_turn(transport, deployment, call, deadline)
            return await super().stream(transport, deployment, call, deadline)
        async with AsyncExitStack() as stack:
            flow = await stack.enter_async_context(
                client.stream(transport, deployment.endpoint, deployment.dialect, call, deadline=deadline)
            )
            return Opened(flow, None, call.dropped, stack.pop_all())

    async def _in_turn(self, transport: Transport, deployment: Deployment, call: Call, deadline: float) -> Opened:
        dialect = deployment.dialect
        calls = self._calls(deployment)
        async with AsyncExitStack() as stack:
            turn = await stack.enter_async_context(AsyncExitStack())

            async def begin(one: Call) -> client.Flow | Amended:
                await turn.aclose()
                flow = await turn.enter_async_context(
                    client.stream(transport, deployment.endpoint, dialect, one, deadline=deadline)
                )
                return flow if one.amends is None else self.amended(flow, one)

            flow = InTurn(await begin(calls[0]), calls, begin)
            return Opened(flow, self.form.stream_encoder(self.request), call.dropped, stack.pop_all())


def _writes_on(deployment: Deployment) -> bool:
    return deployment.dialect.name == OPENAI.name and COMPLETIONS in (deployment.capabilities or ())


async def _together(
    transport: Transport, deployment: Deployment, calls: list[Call], deadline: float
) -> list[client.Received]:
    """The answers to all, in order; the first that fails ends the others. Raises a `Fault`, with what they cost."""
    tasks = [
        asyncio.create_task(client.send(transport, deployment.endpoint, deployment.dialect, call, deadline=deadline))
        for call in calls
    ]
    try:
        return await asyncio.gather(*tasks)
    except Fault as fault:
        answered = [task.result().body for task in tasks if task.done() and task.exception() is None]
        fault.spent = total(_usages(deployment, answered))
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _usages(deployment: Deployment, bodies: list[bytes]) -> list[Usage]:
    """The tokens of these answers, as far as they are any."""
    counted: list[Usage] = []
    for body in bodies:
        with suppress(Fault):
            counted.append(deployment.dialect.glance(body).usage)
    return counted
