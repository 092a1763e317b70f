"""What is known of executions that have ended, kept between commands.

Step Functions answers 15 DescribeExecution a second (AWS Step Functions Developer Guide, "Quotas related to API action
throttling"), and only that tells which file an execution is for: a list of 1,000 files would take a minute, each time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

# An execution can be described for 90 days (the same guide, "Quotas related to state machine executions").
_KEPT_DAYS = 90
_AT_ONCE = 500


def folder() -> Path:
    """Where caches belong (XDG Base Directory Specification; Apple's file system guide)."""
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/dropscore"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dropscore"


class Cache:
    """Documents by names, which never change. Where none can be kept, each is asked for again."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or folder() / "executions.sqlite"

    def find(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of the documents that are kept."""
        wanted, found = list(names), dict[str, Any]()
        if not wanted or not self._path.exists():
            return found
        try:
            with closing(sqlite3.connect(self._path)) as database:
                for begin in range(0, len(wanted), _AT_ONCE):
                    some = wanted[begin : begin + _AT_ONCE]
                    marks = ",".join("?" * len(some))
                    query = f"SELECT name, document FROM ended WHERE name IN ({marks})"  # noqa: S608  (question marks)
                    found |= {name: json.loads(text) for name, text in database.execute(query, some)}
        except sqlite3.Error:
            return {}
        return found

    def keep(self, documents: Mapping[str, Any]) -> None:
        """Keep more of them."""
        if not documents:
            return
        try:
            # What people score is nobody else's business.
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path)) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS ended (name TEXT PRIMARY KEY, document TEXT, kept TEXT)")
                database.execute("DELETE FROM ended WHERE kept < datetime('now', ?)", (f"-{_KEPT_DAYS} days",))
                rows = [(name, json.dumps(document)) for name, document in documents.items()]
                database.executemany("INSERT OR REPLACE INTO ended VALUES (?, ?, datetime('now'))", rows)
            self._path.chmod(0o600)
        except (OSError, sqlite3.Error):
            return
