"""What prompts and answers must not be: small stages, off by default, configured under `guardrails`.

    prompt   patterns → its size → limits, budgets → moderation
    answer   patterns → languages → schema → moderation → cache, record, caller

Law: each stage takes them in the order of the configuration. What is redacted on its way in reaches nobody: neither the
provider, nor a moderator, the cache, a session, a record. A violation is `content_filter`, names its guardrail and
never quotes what was found. Patterns come first, so that a moderator sees only what they let pass; a moderator costs a
call, and so is asked last, for what limits and budgets have admitted.

A cached answer was found under a key that names the guardrails of its caller: it has passed these very ones.

Not looked into: pictures, sound, files and whatever else is base64. What a caller cuts in two (two messages, two
fields) is two texts.
"""
