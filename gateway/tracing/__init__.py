"""Traces: one of each request, from the way in to the last attempt, and of each execution of a workflow.

    places      where one is in a trace: W3C `traceparent` in and out, and what lines of the log say of it. A leaf.
    spans       what a finished request, step or tool call looks like in a trace, after the conventions for GenAI. Pure.
    tracer      what the gateway asks: begin a trace, tell what has ended
    sending     the only door to OpenTelemetry: sampling, and the queue to the collector

Law: nothing is measured twice. The exchange knows all that befell a request, and its spans are made of that when it is
over, by a sink. Without tracing a request pays for one look whether there is any.
"""
