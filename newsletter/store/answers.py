"""The model's answers in the database: a second run, or a changed check, costs nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from newsletter.store import Store
from newsletter.store.tables import AnswerRow


@dataclass(frozen=True, slots=True)
class StoredAnswers:
    """An answer cache (see `newsletter.claude.AnswerCache`) that outlives the process. Safe from several threads."""

    store: Store

    def get(self, key: str, max_age: dt.timedelta | None = None) -> dict[str, Any] | None:
        """The answer kept under this key, or None. ``max_age``: none that is older."""
        with self.store.read() as session:
            row = session.get(AnswerRow, key)
            is_old = row and max_age is not None and dt.datetime.now(dt.UTC) - row.created_at >= max_age
            return row.body if row and not is_old else None

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer, durably, before returning."""
        with self.store.write() as session:
            session.merge(AnswerRow(request_hash=key, created_at=dt.datetime.now(dt.UTC), body=answer))
