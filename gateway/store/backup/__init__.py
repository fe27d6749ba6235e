"""A whole database in one file, and back into one of either kind: `form`, `writing`, `restoring`."""
