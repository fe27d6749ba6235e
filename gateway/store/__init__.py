"""What is kept: tables, queries (one function each), migrations, and the durable path of the request log.

    record ─► rows ─► writing ◄─ request_log ─► spill      the log's path: memory → database, else disk → database
    tables ◄─ exchanges, sessions, snapshots               the queries, over engine.Database
    migrate ─► migrations/ ─► tables                       the schema's history

Law: SQLite and PostgreSQL answer alike, by the same statements wherever the two allow it. The only package that knows
SQLAlchemy, asyncpg or SQLite.
"""
