"""Sending what was decided: time passes, bytes flow, and the promised trouble happens.

A whole answer comes when its last token would have; a stream sends its headers with the first token and then each event
when its tokens are due, counted from the start, so that pauses do not add up. Nothing sleeps when nothing is due.
"""

from __future__ import annotations

from collections.abc import Callable

from providers.simulator.line import HungUp, Line
from providers.simulator.stage import Play, Request, Stage
from providers.simulator.wire import Headers, Reply

_SIMULATED = (b"x-simulated", b"true")
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


async def serve(stage: Stage, line: Line, request: Request, clock: Callable[[], float]) -> None:
    """Answer one request; `request.body` is still empty, because reading it is already part of serving."""
    counters = stage.counters
    counters.requests += 1
    counters.in_flight += 1
    identity = stage.identify(counters.requests)
    try:
        if request.method == "POST":
            request = request._replace(body=await line.body())
        play = stage.decide(request)
        if play.trouble == "hang":
            await line.hang()
        status = play.reply.status
        if play.events is None:
            await line.wait(play.first_s + play.per_token_s * play.output)
            counters.by_status[status] = counters.by_status.get(status, 0) + 1
            await _send(line, play, identity)
        else:
            begun = clock()
            await line.wait(play.first_s)
            counters.by_status[status] = counters.by_status.get(status, 0) + 1
            await _stream(line, play, identity, begun, clock)
    except HungUp:
        counters.aborted += 1
    finally:
        counters.in_flight -= 1
        line.close()


def _headers(reply: Reply, identity: Headers) -> Headers:
    return [(b"content-type", reply.content_type), _SIMULATED, *identity, *reply.headers]


async def _send(line: Line, play: Play, identity: Headers) -> None:
    reply = play.reply
    match play.trouble:
        case "garbled":
            reply = reply._replace(body=_HTML, content_type=b"text/html")
        case "truncated":
            reply = reply._replace(body=reply.body[: len(reply.body) // 2])
        case _:
            pass
    await line.start(reply.status, [*_headers(reply, identity), (b"content-length", b"%d" % len(reply.body))])
    if play.trouble == "cut":
        await line.write(reply.body[: len(reply.body) // 2], more=True)
        await line.cut()
        return
    await line.write(reply.body, more=False)


async def _stream(line: Line, play: Play, identity: Headers, begun: float, clock: Callable[[], float]) -> None:
    if play.trouble == "garbled":
        await _send(line, play, identity)
        return
    await line.start(play.reply.status, _headers(play.reply, identity))
    events = list(play.events or ())
    match play.trouble:
        case "first_event_error":
            events = [(play.failed_event, 0)]
        case "truncated":
            events = [(events[0][0][: len(events[0][0]) // 2] + b"\n\n", 0)]  # a whole event of half a JSON
        case "cut":
            events = events[: max(1, len(events) // 2)]
        case _:
            pass
    due = play.first_s
    for data, count in events:
        due += count * play.per_token_s
        if count and play.per_token_s:
            await line.wait(begun + due - clock())
        await line.write(data, more=True)
    if play.trouble == "cut":
        await line.cut()
        return
    await line.write(b"", more=False)
