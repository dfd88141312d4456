"""The accounts: every call once, by piece and by issue."""

from __future__ import annotations

import threading

import pytest
from sqlmodel import Session

from newsletter import costs, issues
from newsletter.claude import Call, Usage
from newsletter.costs import Cost, StoredMeter
from newsletter.issues import Draft
from newsletter.store import Store
from newsletter.values import Selection
from tests.newsletter.makers import DAY


def call(cost: float | None = 0.01, *, piece: int = 0, cached: bool = False, outcome: str = "") -> Call:
    return Call("write", piece, "model-1", Usage(100, 20, 5, 3), cost, cached, outcome, 0.5)


def draft(session: Session, number: int) -> int:
    made = Draft(f"slot {number}", DAY.date(), f"Issue {number}", "hash", Selection((), ()), ())
    return issues.save(session, made, DAY)


def test_calls_are_added_up_and_what_was_kept_or_failed_is_counted_apart(store: Store) -> None:
    meter = StoredMeter(store)
    for one in (call(), call(0.02, outcome="refused"), call(0.0, cached=True), call(None)):
        meter.note(one)
    with store.write() as session:
        number = draft(session, 1)
        meter.assign(session, number)
    with store.read() as session:
        found = costs.of_issue(session, number)
    assert found == Cost(3, 1, 1, 300, 60, 15, 9, found.usd, 1) and found.usd == pytest.approx(0.03)
    assert found.tokens == 384


def test_each_issue_has_its_own_calls_and_a_run_without_one_is_listed_last(store: Store) -> None:
    meter = StoredMeter(store)
    numbers: list[int] = []
    for cost in (0.1, 0.2):
        meter.note(call(cost))
        with store.write() as session:
            numbers.append(draft(session, len(numbers)))
            meter.assign(session, numbers[-1])
    meter.note(call(0.4))
    with store.read() as session:
        found = costs.by_issue(session)
    assert [(entry.issue, entry.cost.usd) for entry in found] == [(numbers[1], 0.2), (numbers[0], 0.1), (0, 0.4)]


def test_calls_of_several_threads_are_all_kept(store: Store) -> None:
    meter = StoredMeter(store)
    threads = [threading.Thread(target=meter.note, args=(call(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.write() as session:
        meter.assign(session, draft(session, 1))
    with store.read() as session:
        assert costs.by_issue(session)[0].cost.calls == 8
