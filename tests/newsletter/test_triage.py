"""What a candidate is worth by rule."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.pieces import Candidate
from newsletter.triage import Brief, appraise, topic_hits
from newsletter.values import Appraisal, Piece, TextOrigin, Topic
from tests.newsletter.makers import DAY, FORUM, piece, prose

PROBES = Topic("probes", "Probes", keywords=("probe", "linear probes"))
EVALS = Topic("evals", "Evaluations", keywords=("evaluation", "benchmark"))
BRIEF = Brief("Careful evaluations and probes of language models, with negative results.", (PROBES, EVALS), 30)


def _appraise(one: Piece, **given: Any) -> Appraisal:
    candidate = Candidate(one, given.get("first_seen", DAY), given.get("also_in", ()))
    return appraise([candidate], BRIEF, given.get("weights", {}), given.get("now", DAY))[0]


def test_the_score_is_the_sum_of_its_parts_and_each_part_says_why() -> None:
    found = _appraise(piece())
    assert found.score == pytest.approx(sum(part.points for part in found.parts))
    assert all(part.why for part in found.parts)


def test_a_piece_on_the_owners_topics_is_worth_more() -> None:
    about = piece(text=prose(600) + "\n\n" + "We train a probe on activations and report a benchmark. " * 5)
    assert _appraise(about).score > _appraise(piece()).score


def test_a_long_piece_is_worth_more_than_a_fragment() -> None:
    fragment = piece(text=prose(80), origin=TextOrigin.DESCRIPTION)
    assert (
        _appraise(piece(text=prose(2000))).score > _appraise(piece(text=prose(400))).score > _appraise(fragment).score
    )


def test_evidence_counts() -> None:
    with_results = piece(
        text=prose(500) + "\n\n" + "We found an accuracy of 81% over 5 seeds; the baseline failed. " * 6
    )
    assert _appraise(with_results).score > _appraise(piece(text=prose(560))).score


def test_a_short_notice_is_worth_little() -> None:
    notice = piece(text="Register now for our meetup on evaluation. Early-bird tickets with a promo code. " * 6)
    assert _appraise(notice).score < 2


def test_a_long_article_that_mentions_tickets_once_stays_worth_reading() -> None:
    plain, mention = (
        piece(text=prose(2000)),
        piece(text=prose(2000) + "\n\nThe tickets of the support desk were the data."),
    )
    assert _appraise(plain).score - _appraise(mention).score < 0.5


def test_what_was_published_beyond_the_age_limit_is_refused() -> None:
    assert "more than 30 days ago" in _appraise(piece(published=DAY - dt.timedelta(days=31))).refusal
    assert not _appraise(piece(published=DAY - dt.timedelta(days=29))).refusal


def test_without_a_date_the_day_it_was_seen_counts() -> None:
    assert not _appraise(piece(published=None)).refusal


def test_a_date_in_the_future_makes_nothing_fresher_than_new() -> None:
    future = _appraise(piece(published=DAY + dt.timedelta(days=400)))
    assert future.score == _appraise(piece(published=DAY)).score


def test_a_text_of_a_few_words_is_refused_with_what_went_wrong() -> None:
    found = _appraise(piece(text="Too short.", note="page: answered 404"))
    assert found.refusal == "only 2 words of text (page: answered 404)"


def test_a_source_with_more_weight_counts_more() -> None:
    heavy = _appraise(piece(), weights={FORUM.key: 1.5})
    assert heavy.score == pytest.approx(_appraise(piece()).score * 1.5, abs=0.01)


def test_a_piece_that_another_source_carries_too_is_worth_a_little_more() -> None:
    assert _appraise(piece(), also_in=("The Magazine",)).score > _appraise(piece()).score


def test_topics_come_from_title_category_or_many_mentions_and_not_from_one() -> None:
    assert list(topic_hits(piece(title="A probe that lies"), (PROBES,))) == ["probes"]
    assert list(topic_hits(piece(categories=("Evaluations",)), (EVALS,))) == ["evals"]
    assert list(topic_hits(piece(text=prose(600) + " probe probe probe"), (PROBES,))) == ["probes"]
    assert list(topic_hits(piece(text=prose(600) + " probe"), (PROBES,))) == []


def test_a_keyword_inside_another_word_is_no_mention() -> None:
    assert topic_hits(piece(title="Probezeit and reprobed"), (PROBES,)) == {}


@given(st.text(max_size=400), st.text(max_size=80))
def test_any_text_gets_a_score_of_at_most_eleven(text: str, title: str) -> None:
    assert 0 <= _appraise(piece(text=text, title=title)).score <= 11


def test_readers_votes_on_source_and_topics_move_the_score_by_at_most_one_point() -> None:
    about = piece(title="A probe that lies")

    def points(**votes: tuple[int, int]) -> float:
        found = appraise([Candidate(about, DAY, ())], BRIEF, {}, DAY, votes)[0]
        return sum(part.points for part in found.parts if part.name == "readers")

    assert points() == points(elsewhere=(50, 0)) == 0
    assert points(probes=(10, 0)) == 0.5 and points(probes=(0, 10)) == -0.5
    assert 0.9 < points(probes=(10_000, 0)) < 1
    assert points(**{FORUM.key: (10, 0), "probes": (0, 10)}) == 0


def test_the_same_candidate_gets_the_same_score() -> None:
    assert _appraise(piece()) == _appraise(piece())
