"""An engine in a process of its own, to be killed: `workflow_process.py <engine's url> <execution> <executor> <file>`.

It runs the nodes of whatever it finds side by side: `quick` at once, the others until they are killed, and writes down
what was begun and what the engine has taken down.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.workflows.attempt import Around
from gateway.workflows.engine import Engine

SLOW = ("first", "third")
QUICK = "second"
KEYS = ("first", "second", "third")


async def main(url: str, execution: str, executor: str, told: Path) -> None:
    """Until killed."""

    def tell(what: str) -> None:
        with told.open("a") as file:
            file.write(f"{executor} {what}\n")

    async def run(execution_id: str, attempt: int, around: Around) -> None:
        async def slow(key: str) -> None:
            async def body() -> None:
                tell(f"begins {key}")
                await asyncio.sleep(3600.0)

            await around(key, body)

        async def quick() -> None:
            tell(f"begins {QUICK}")

        tasks = [asyncio.create_task(slow(key)) for key in SLOW]
        await around(QUICK, quick)
        tell(f"has taken down {QUICK}")
        await asyncio.gather(*tasks)

    engine = Engine(url, executor_id=executor, concurrency=4, runner=run)
    await engine.launch()
    await engine.submit(execution, 1, KEYS)
    await asyncio.sleep(3600.0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
