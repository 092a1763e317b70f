"""Pods are processes of one network: who has a port of all addresses has that of every pod."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from local.cluster.listening import keep_apart
from local.cluster.process import ContainerProcess

LISTEN = """
import socket, sys
listener = socket.create_server((sys.argv[1], 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@dataclass
class Container:
    """As much of a container's process as is looked at."""

    group: int
    killed: bool = False
    said: bytes = b""
    log: Any = field(init=False)

    def __post_init__(self) -> None:
        self.log = self

    def write(self, data: bytes) -> None:
        self.said += data

    def kill(self) -> None:
        self.killed = True


def listening(address: str) -> Iterator[tuple[int, int]]:
    """The process group and the port of a process that listens."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout
        yield process.pid, int(process.stdout.readline())
        process.kill()


@pytest.fixture
def everywhere() -> Iterator[tuple[int, int]]:
    yield from listening("0.0.0.0")


@pytest.fixture
def own() -> Iterator[tuple[int, int]]:
    yield from listening("127.77.1.2")


def looked_after(container: Container, address: str, port: int) -> None:
    async def look() -> None:
        async with asyncio.timeout(10):
            await keep_apart(cast(ContainerProcess, container), address, [port])

    asyncio.run(look())


def test_a_container_whose_port_another_process_has_everywhere_is_ended_and_says_why(
    everywhere: tuple[int, int], own: tuple[int, int]
) -> None:
    container = Container(own[0])
    looked_after(container, "127.77.1.3", everywhere[1])
    assert container.killed
    assert b"is another process's" in container.said


def test_one_that_listens_everywhere_itself_may(everywhere: tuple[int, int]) -> None:
    container = Container(everywhere[0])
    looked_after(container, "127.77.1.3", everywhere[1])
    assert not container.killed


def test_one_that_listens_at_its_own_address_has_its_port(own: tuple[int, int]) -> None:
    container = Container(own[0])
    looked_after(container, "127.77.1.2", own[1])
    assert not container.killed


def test_who_listens_at_another_address_is_no_matter(own: tuple[int, int]) -> None:
    container = Container(0)
    with socket.socket() as unused, pytest.raises(TimeoutError):
        unused.bind(("127.77.1.3", own[1]))

        async def look() -> None:
            async with asyncio.timeout(0.6):
                await keep_apart(cast(ContainerProcess, container), "127.77.1.3", [own[1]])

        asyncio.run(look())
    assert not container.killed
