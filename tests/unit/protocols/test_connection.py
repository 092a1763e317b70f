"""What is asked of TCP for a model's answers."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from scoring.protocols.model import Model
from tests.unit.servers import Reply, Server

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="this kernel has no TCP_QUICKACK")


def test_each_answer_is_acknowledged_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the second one on a connection: the kernel forgets it."""
    told: list[int] = []
    setsockopt = socket.socket.setsockopt

    def spied(self: socket.socket, level: int, option: int, *value: Any) -> None:
        setsockopt(self, level, option, *value)
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_QUICKACK):
            told.append(len(server.requests))

    monkeypatch.setattr(socket.socket, "setsockopt", spied)
    server.answers["GET /ping"] = Reply(body=b"ok")
    model = Model(server.url)
    for _ in range(3):
        assert model.request("GET", "/ping", 5.0).status == 200
    assert len(told) == 3
