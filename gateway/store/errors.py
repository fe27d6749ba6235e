"""What can go wrong with the store, as its callers see it.

    StoreError
    ├── StoreUnavailable   away, hanging, out of connections, not migrated yet: ask again later
    └── SchemaUnknown      migrated by a newer version than this one: an operator must decide

A class's docstring is its default message. No message carries a password or a statement's values.
"""

from __future__ import annotations


class StoreError(Exception):
    """The database refused."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class StoreUnavailable(StoreError):
    """The database does not answer."""

    #: It did, and said no (read-only, full, locked): nothing was done. Else nobody knows whether the last word arrived.
    refused = False


class SchemaUnknown(StoreError):
    """The database was migrated by a newer version of Steelyard than this one."""
