"""Who gets which pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newsletter.editions import EVERYTHING, assign, describe, fitting
from newsletter.values import IssuePiece
from tests.newsletter.makers import issue, piece, summary

ISSUE = issue(
    IssuePiece(piece(1), summary(), ("a",)),
    IssuePiece(piece(2), summary(), ("b", "c")),
    IssuePiece(piece(3), summary(), ()),
)
TOPICS = ("a", "b", "c", "d")


def test_readers_of_everything_get_every_piece() -> None:
    assert fitting(ISSUE, EVERYTHING) == ISSUE.pieces


def test_a_piece_without_a_topic_goes_to_readers_of_everything_alone() -> None:
    assert [entry.piece.id for entry in fitting(ISSUE, frozenset(TOPICS))] == [1, 2]


def test_groups_that_get_the_same_pieces_share_one_edition() -> None:
    given = assign(ISSUE, [frozenset("b"), frozenset("c"), frozenset("bd")], TOPICS)
    assert len({id(assignment.edition) for assignment in given.values()}) == 1


def test_a_group_that_nothing_fits_is_skipped_with_the_reason() -> None:
    assert assign(ISSUE, [frozenset("d")], TOPICS)[frozenset("d")].reason == "no piece fits their topics"


def test_a_removed_topic_selects_nothing_and_is_said() -> None:
    given = assign(ISSUE, [frozenset("a")], ("b", "c"))
    assert given[frozenset("a")].reason == "follows no topic that still exists"


@given(st.lists(st.one_of(st.none(), st.frozensets(st.sampled_from(TOPICS))), unique=True))
def test_every_group_gets_an_edition_or_a_reason_and_pieces_keep_their_order(
    groups: list[frozenset[str] | None],
) -> None:
    for follows, got in assign(ISSUE, groups, TOPICS).items():
        assert bool(got.edition) != bool(got.reason)
        if got.edition:
            assert got.edition.pieces == fitting(ISSUE, follows)
            numbers = [entry.piece.id for entry in got.edition.pieces]
            assert numbers == sorted(numbers)


def test_an_owner_sees_what_readers_follow() -> None:
    names = {"a": "Evaluations", "b": "Interpretability", "c": "RL"}
    assert describe(EVERYTHING, names) == "everything"
    assert describe(frozenset("a"), names) == "evaluations"
    assert describe(frozenset("abc"), names) == "evaluations, interpretability and RL"
    assert describe(frozenset("x"), names) == "no topic that exists"
