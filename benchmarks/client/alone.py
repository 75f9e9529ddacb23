"""The client without the verb, for benchmarks/client: SOURCE OUT URL AT_ONCE."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from recension.models.openai_writer import OpenAIWriter, Traffic
from recension.ports import Request


class Quiet:
    """Nobody is told."""

    def sent(self) -> None: ...

    def failed(self) -> None: ...

    def note(self, line: str) -> None: ...


async def main(source: Path, url: str, at_once: int) -> None:
    writer = OpenAIWriter("fake", url, None, Traffic(concurrency=at_once), Quiet())
    with source.open(encoding="utf-8") as lines:

        async def work() -> None:
            for line in lines:
                row = json.loads(line)
                messages = ({"role": "user", "content": f"Rewrite this text:\n\n{row['text']}"},)
                await writer.write(Request(row["id"], messages, {"max_tokens": 2048, "temperature": 0.8, "seed": 1}))

        await asyncio.gather(*(work() for _ in range(at_once)))
    await writer.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[3], int(sys.argv[4])))
