"""The schema's history, one step per file in `versions/`; run by `gateway.store.migrate`.

Law: a step that was released is never edited, so it spells its types out instead of importing today's.
"""
