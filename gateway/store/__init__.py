"""What is kept: tables, queries (one function each), migrations, and the durable path of the request log.

    record ─► rows ─► writing ◄─ request_log ─► spill      the log's path: memory → database, else disk → database
                     └──► tally                            what the rows add to the sums, in their transaction
    tables ◄─ exchanges, totals, sessions, snapshots, …    the queries, over engine.Database
    workflow_tables ◄─ workflows/                          the same for workflows and their executions
    retention ─► partitions                                what leaves the log, and room for what comes
    migrate ─► migrations/ ─► tables                       the schema's history

Law: SQLite and PostgreSQL answer alike, by the same statements wherever the two allow it. The only package that knows
SQLAlchemy, asyncpg or SQLite.
"""
