"""The embedded cluster holds each container to its memory, whenever its processes were first seen."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from local.cluster.logs import LogFile
from local.cluster.process import ContainerProcess, MemoryGuard, Reaper

EATS = "eaten = bytearray(200 << 20); import time; time.sleep(60)"
LETS_ANOTHER_EAT = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', '{EATS}']))"
LIMIT = 100 << 20


async def start(folder: Path, reaper: Reaper, name: str, code: str) -> ContainerProcess:
    temporary = folder / name
    temporary.mkdir()
    log = LogFile(folder / f"{name}.log")
    return await ContainerProcess.start(
        [sys.executable, "-c", code], folder, {"TMPDIR": str(temporary)}, temporary, log, reaper
    )


@pytest.mark.parametrize("code", [EATS, LETS_ANOTHER_EAT], ids=["was there before", "comes later"])
def test_each_process_of_a_container_counts(tmp_path: Path, code: str) -> None:
    async def run() -> tuple[int, bool, bool]:
        reaper, guard = await Reaper.start(), MemoryGuard()
        guarding = asyncio.create_task(guard.run())
        modest = await start(tmp_path, reaper, "modest", "import time; time.sleep(60)")
        try:
            guard.watch(modest, LIMIT)
            greedy = await start(tmp_path, reaper, "greedy", code)
            async with asyncio.timeout(30):
                while greedy.group not in guard._others:
                    await asyncio.sleep(0.01)
                guard.watch(greedy, LIMIT)
                ended = await greedy.wait()
            return ended, greedy.out_of_memory, modest.out_of_memory
        finally:
            guarding.cancel()
            await modest.stop(0)
            await reaper.stop()

    assert asyncio.run(run()) == (137, True, False)
