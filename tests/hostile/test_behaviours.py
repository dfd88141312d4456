"""What a hostile publisher does, one by one, through the whole intake: door, parser's child, pages, database."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from newsletter.sandbox import Sandbox
from newsletter.store import Store
from tests.hostile import catalogue
from tests.hostile.publisher import (
    ADDRESSES,
    CHILD_MEMORY,
    OUR_MEMORY,
    Behaviour,
    Outcome,
    is_one_plain_line,
    run,
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One child, with the limits of the product."""
    with Sandbox(workers=1, memory_bytes=CHILD_MEMORY) as made:
        yield made


def _case(behaviour: Behaviour) -> object:
    return pytest.param(behaviour, id=behaviour.id, marks=[pytest.mark.slow] if behaviour.slow else [])


@pytest.mark.parametrize("behaviour", [_case(behaviour) for behaviour in catalogue.BEHAVIOURS])
def test_a_hostile_publisher_gets_nothing_and_costs_no_good_piece(
    behaviour: Behaviour, store: Store, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run(behaviour, store, sandbox)
    assert {address for address, _ in outcome.dialled} <= set(ADDRESSES.values())
    _check_report(behaviour, outcome)
    assert outcome.titles == list(behaviour.stored)
    assert outcome.seconds < behaviour.within
    assert outcome.our_bytes < OUR_MEMORY and outcome.child_bytes < CHILD_MEMORY
    _check_mail(behaviour, outcome)
    once = [piece.id for issue in outcome.published for piece in issue]
    assert len(once) == len(set(once)), "a piece was published twice"
    if behaviour.check:
        behaviour.check(outcome)
    assert capfd.readouterr() == ("", "")


def _check_report(behaviour: Behaviour, outcome: Outcome) -> None:
    """What the owner is told: the stated outcome, each thing on one plain line."""
    last = outcome.reports[-1]
    told = [line for report in outcome.reports for line in (report.problem, *report.notes)]
    assert all(is_one_plain_line(line) for line in told)
    assert (last.status, bool(last.problem)) == (behaviour.status, bool(behaviour.says))
    assert re.search(behaviour.says, last.problem)
    assert len(last.notes) > 0 or not behaviour.notes
    assert all(re.search(behaviour.notes, note) for note in last.notes)


def _check_mail(behaviour: Behaviour, outcome: Outcome) -> None:
    """What stands in the mail: the stated words as they are, and nothing of what must never be in it."""
    shown, typed = _without_space(_read(outcome.html)), _without_space(outcome.text.replace("\n> ", "\n"))
    for words in map(_without_space, behaviour.mailed):
        assert words in shown and words in typed
    for words in behaviour.never:
        assert words not in outcome.html and words not in outcome.text


def _read(page: str) -> str:
    """The words of a page as its reader sees them."""
    from lxml import html

    return str(html.document_fromstring(page).text_content()) if page else ""


def _without_space(text: str) -> str:
    """The text without what differs by where its lines are broken."""
    return "".join(text.split())


def test_there_are_more_than_a_hundred_behaviours_each_of_its_own_name() -> None:
    names = [behaviour.id for behaviour in catalogue.BEHAVIOURS]
    assert len(names) == len(set(names)) > 100
