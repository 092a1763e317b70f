"""What holds for all tests: the embedded stack that they share is ended when the last of them is done."""

from __future__ import annotations

import pytest

from local import parts, stack


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the shared stack. Only the process that has no `workerinput` outlives all workers."""
    if not hasattr(session.config, "workerinput"):
        stack.down(parts.ROOT / ".local/e2e")
