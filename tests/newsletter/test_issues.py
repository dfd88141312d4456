"""Drafts, rulings, and the freeze of an issue's pieces."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from newsletter import issues, pieces, summaries
from newsletter.issues import Draft, IssueError
from newsletter.pieces import identified
from newsletter.store import Store
from newsletter.store.tables import SummaryRow
from newsletter.values import Choice, IssuePiece, Selection
from tests.newsletter.makers import DAY, appraisal, piece, summary

SLOT = "2026-05-29"


def _draft(store: Store, *numbers: int, slot: str = SLOT) -> Draft:
    """A draft of pieces with these numbers, stored with a summary each."""
    entries = []
    with store.write() as session:
        pieces.store(session, identified([piece(n) for n in range(1, 7)]), DAY)
        for number in numbers:
            body = summary()
            row = session.merge(
                SummaryRow(
                    id=number,
                    piece_id=number,
                    fingerprint="f",
                    source_hash="s",
                    kind="digest",
                    writer="w",
                    created_at=DAY,
                    body=summaries.to_json(body),
                )
            )
            entries.append(
                (IssuePiece(pieces.by_ids(session, [number])[number], body, ("a",), 5.0, "good"), row.id or 0)
            )
    chosen = tuple(Choice(appraisal(n, 5), True, "good") for n in numbers)
    return Draft(slot, dt.date.fromisoformat(slot), f"Digest {slot}", "hash", Selection(chosen, ()), tuple(entries))


def _save(store: Store, draft: Draft, number: int | None = None) -> int:
    with store.write() as session:
        return issues.save(session, draft, DAY, number)


def test_a_draft_comes_back_as_it_was_stored(store: Store) -> None:
    draft = _draft(store, 2, 1, 3)
    number = _save(store, draft)
    with store.read() as session:
        loaded = issues.load(session, number)
    assert loaded.pieces == tuple(entry for entry, _ in draft.entries)
    assert (loaded.title, loaded.date, loaded.state) == (draft.title, draft.date, "draft")


def test_a_draft_made_again_keeps_its_number(store: Store) -> None:
    number = _save(store, _draft(store, 1, 2))
    assert _save(store, _draft(store, 3, 1), number) == number
    with store.read() as session:
        assert [entry.piece.id for entry in issues.load(session, number).pieces] == [3, 1]


def test_a_slot_has_one_issue(store: Store) -> None:
    from sqlalchemy.exc import IntegrityError

    _save(store, _draft(store, 1))
    with pytest.raises(IntegrityError):
        _save(store, _draft(store, 2))


def test_a_rejected_draft_gives_its_slot_up(store: Store) -> None:
    number = _save(store, _draft(store, 1))
    with store.write() as session:
        issues.reject(session, number, DAY)
    assert _save(store, _draft(store, 1)) == number + 1


def test_a_piece_cannot_come_out_in_two_issues(store: Store) -> None:
    first, second = _save(store, _draft(store, 1, 2)), _save(store, _draft(store, 2, 3, slot="2026-05-30"))
    with store.write() as session:
        issues.publish(session, first, DAY)
    with pytest.raises(IssueError, match="came out in another issue"), store.write() as session:
        issues.publish(session, second, DAY)
    with store.read() as session:
        assert issues.load(session, second).state == "draft"


def test_only_a_draft_can_be_frozen_rejected_or_ruled_on(store: Store) -> None:
    number = _save(store, _draft(store, 1))
    with store.write() as session:
        issues.publish(session, number, DAY)
    for act in (
        lambda session: issues.publish(session, number, DAY),
        lambda session: issues.reject(session, number, DAY),
        lambda session: issues.rule(session, number, 1, issues.DROP),
        lambda session: issues.save(session, replace(_draft(store, 2), slot="2026-06-01"), DAY, number),
    ):
        with pytest.raises(IssueError), store.read() as session:
            act(session)


def test_a_ruling_replaces_the_one_before(store: Store) -> None:
    number = _save(store, _draft(store, 1))
    for verdict in (issues.DROP, issues.PIN):
        with store.write() as session:
            issues.rule(session, number, 2, verdict)
    with store.read() as session:
        assert issues.rulings(session, number) == {2: issues.PIN}


def test_the_selection_keeps_every_score_with_its_parts(store: Store) -> None:
    picked = Selection((Choice(appraisal(1, 5.5), True, "good"),), (Choice(appraisal(2, 1), False, "bad"),), "")
    kept = issues.selection_json(picked)
    assert kept["chosen"][0]["parts"] == [{"name": "made", "points": 5.5, "why": "by the test"}]
    assert kept["left_out"][0]["why"] == "bad"
