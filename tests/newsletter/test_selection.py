"""Which pieces an issue gets, and why."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from newsletter.selection import Rules, select
from newsletter.values import Appraisal
from tests.newsletter.makers import FORUM, MAGAZINE, appraisal

RULES = Rules(min_pieces=2, max_pieces=4, min_score=3.0, max_per_source=3)


def _numbers(found: list[Appraisal], rules: Rules = RULES) -> list[int]:
    return [choice.appraisal.piece.id for choice in select(found, rules).chosen]


def test_the_best_come_first() -> None:
    assert _numbers([appraisal(1, 4), appraisal(2, 8), appraisal(3, 6)]) == [2, 3, 1]


def test_a_busy_source_does_not_crowd_out_another() -> None:
    found = [appraisal(n, 8 - n / 10) for n in range(1, 6)] + [appraisal(9, 5, source=MAGAZINE)]
    assert 9 in _numbers(found)


def test_of_two_alike_the_one_with_another_topic_is_taken() -> None:
    found = [
        appraisal(1, 8, topics=("a",)),
        appraisal(2, 6.2, topics=("a",)),
        appraisal(3, 6, topics=("b",), source=MAGAZINE),
    ]
    assert _numbers(found) == [1, 3, 2]


def test_what_scores_too_little_is_left_out_with_its_weakest_part() -> None:
    left = select([appraisal(1, 8), appraisal(2, 7), appraisal(3, 2)], RULES).left_out
    assert [(c.appraisal.piece.id, c.why) for c in left] == [(3, "score 2.0 is below 3: made 2.0 (by the test)")]


def test_too_few_make_no_issue_and_the_reason_is_said() -> None:
    picked = select([appraisal(1, 8), appraisal(2, 1)], RULES)
    assert picked.chosen == ()
    assert picked.shortfall == "1 of 2 candidates is worth sending, and an issue has at least 2"
    assert len(picked.left_out) == 2


def test_no_candidate_at_all_means_nothing_new() -> None:
    assert select([], RULES).shortfall == "there is nothing new"


def test_a_pinned_piece_is_in_whatever_its_score() -> None:

    found = [appraisal(1, 8), appraisal(2, 7), replace(appraisal(3, 0.5), pinned=True)]
    picked = select(found, RULES)
    assert next((c.appraisal.piece.id, c.why) for c in picked.chosen) == (3, "pinned by the owner")


def test_a_refused_piece_says_why() -> None:
    picked = select([appraisal(1, 8), appraisal(2, 7), appraisal(3, 9, refusal="dropped by the owner")], RULES)
    assert picked.left_out[0].why == "dropped by the owner"


_APPRAISALS = st.lists(
    st.tuples(st.floats(0, 10), st.sampled_from(["a", "b", ""]), st.sampled_from([FORUM, MAGAZINE]), st.booleans()),
    max_size=12,
).map(
    lambda rows: [
        appraisal(
            n,
            round(score, 2),
            topics=(topic,) if topic else (),
            source=source,
            refusal="no" if refused else "",
        )
        for n, (score, topic, source, refused) in enumerate(rows, 1)
    ]
)


@given(_APPRAISALS, st.integers(0, 1000))
def test_the_order_of_the_candidates_changes_nothing(found: list[Appraisal], seed: int) -> None:
    shuffled = random.Random(seed).sample(found, len(found))
    assert select(found, RULES) == select(shuffled, RULES)


@given(_APPRAISALS)
def test_every_candidate_is_accounted_for_once_and_limits_hold(found: list[Appraisal]) -> None:
    picked = select(found, RULES)
    seen = [choice.appraisal.piece.id for choice in (*picked.chosen, *picked.left_out)]
    assert sorted(seen) == sorted(a.piece.id for a in found)
    assert len(picked.chosen) <= RULES.max_pieces
    assert not picked.chosen or len(picked.chosen) >= RULES.min_pieces
    per_source = [c.appraisal.piece.source.key for c in picked.chosen]
    assert all(per_source.count(key) <= RULES.max_per_source for key in per_source)
    assert all(c.why for c in (*picked.chosen, *picked.left_out))
