"""Where the durable engine keeps its own tables, beside ours."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url


def engine_url(database_url: str) -> str:
    """Where the engine keeps its tables, for the address of the gateway's database.

    On PostgreSQL in the same database, in a schema of their own; beside SQLite's file in another, as two writers of one
    would wait for each other.
    """
    if database_url.startswith("sqlite"):
        path = Path(database_url.partition(":///")[2])
        return f"sqlite:///{path.with_name(path.stem + '-workflows' + path.suffix)}"
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    query = {{"ssl": "sslmode"}.get(name, name): value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=False)
