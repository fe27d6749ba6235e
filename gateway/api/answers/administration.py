"""What `/api/admin` answers."""

from msgspec import Struct


class ReloadAnswer(Struct):
    """Names of settings such as `providers.openai`: what differs from before, and what waits for the next start.

    What stands in both, such as `database.url`, holds for everything but workflows, which go on by what they have.
    Values are not told: secrets are among them.
    """

    changed: list[str]
    restart: list[str]
