"""Answers that are kept in the database."""

from __future__ import annotations

import datetime as dt

from newsletter.store import Store
from newsletter.store.answers import StoredAnswers


def test_an_answer_is_kept_and_found_by_its_hash(store: Store) -> None:
    answers = StoredAnswers(store)
    assert answers.get("a" * 64) is None
    answers.put("a" * 64, {"text": "x"})
    answers.put("a" * 64, {"text": "y"})
    assert StoredAnswers(store).get("a" * 64) == {"text": "y"}
    assert answers.get("a" * 64, dt.timedelta(hours=1)) == {"text": "y"}
    assert answers.get("a" * 64, dt.timedelta(0)) is None
