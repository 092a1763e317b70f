"""An API server as its clients see it, which can be taken away and brought back."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web


class Listener:
    """Serves over TLS. SIGUSR1 takes it away, SIGUSR2 brings it back; all else in the process runs on meanwhile."""

    def __init__(
        self,
        runner: Callable[[], web.BaseRunner],
        host: str,
        port: int,
        context: ssl.SSLContext,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._new_runner, self._host, self._port, self._context, self._failed = runner, host, port, context, failed
        self._runner: web.BaseRunner | None = None
        self._change: asyncio.Task[None] | None = None

    def obey(self, loop: asyncio.AbstractEventLoop) -> None:
        for number, change in ((signal.SIGUSR1, self.close), (signal.SIGUSR2, self.open)):
            loop.add_signal_handler(number, self._begin, change)

    def _begin(self, change: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._change = asyncio.create_task(change())
        self._change.add_done_callback(self._report)

    def _report(self, change: asyncio.Task[None]) -> None:
        if not change.cancelled() and (error := change.exception()) is not None:
            self._failed(error)

    async def open(self) -> None:
        if self._runner is None:
            self._runner = self._new_runner()
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port, ssl_context=self._context).start()

    async def close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
