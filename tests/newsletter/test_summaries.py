"""A summary is checked, kept, repaired once, and falls back to excerpts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter import pieces, sections, summaries
from newsletter.pieces import identified
from newsletter.store import Store
from newsletter.summaries import Desk
from newsletter.values import Claim, Piece, Section, SectionShape, Summary, SummaryKind
from newsletter.writers import WriterUnavailable, WritingError
from newsletter.writers.excerpts import Excerpts
from tests.newsletter.makers import DAY, piece

SPECS = sections.load(("summary", "takeaways"))
TEXT = "\n\n".join(
    f"We trained probe {n} on layer {n} of the small model and found an accuracy of {50 + n} percent over three seeds. "
    f"The baseline for task {n} stayed at chance in every run that the authors report here. "
    f"Nobody has yet repeated experiment {n} on a model of another family, which is a limit of the result."
    for n in range(1, 16)
)


def _digest(*sentences: tuple[str, str]) -> Summary:
    """A digest whose opening and takeaways are these sentences with their quotes."""
    claims = [Claim(sentence, (quote,)) for sentence, quote in sentences]
    opening = Section("summary", "", SectionShape.PROSE, (tuple(claims[:3]),))
    points = Section("takeaways", "Key takeaways", SectionShape.LIST, tuple((claim,) for claim in claims[3:]))
    return Summary(SummaryKind.DIGEST, (opening, points), "scripted", "model-1", cost_usd=0.01)


def _true(n: int) -> tuple[str, str]:
    quote = f"found an accuracy of {50 + n} percent over three seeds"
    return f"Probe {n}, trained on layer {n}, reached an accuracy of {50 + n} percent over three seeds.", quote


def _false(n: int) -> tuple[str, str]:
    return f"Probe {n}, trained on layer {n}, reached an accuracy of {90 + n} percent.", _true(n)[1]


GOOD = _digest(*map(_true, range(1, 7)))
BAD = _digest(*map(_false, range(1, 7)))
MIXED = _digest(*map(_true, range(1, 6)), _false(6))


@dataclass
class Scripted:
    """A writer that answers from a script, and counts."""

    script: list[Summary | Exception]
    name: str = "scripted"
    asked: list[str] = field(default_factory=list)

    def fingerprint(self) -> str:
        return "scripted 1"

    def write(self, piece: Piece) -> Summary:
        self.asked.append("write")
        return self._next()

    def repair(self, piece: Piece, summary: Summary, problems: Sequence[str]) -> Summary:
        self.asked.append(f"repair {len(problems)}")
        return self._next()

    def _next(self) -> Summary:
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def stored(store: Store) -> Piece:
    with store.write() as session:
        return pieces.store(session, identified([piece(1, text=TEXT)]), DAY).new[0]


@pytest.fixture
def desk(store: Store) -> Callable[..., tuple[Desk, Scripted]]:
    def make(*script: Summary | Exception) -> tuple[Desk, Scripted]:
        writer = Scripted(list(script))
        return Desk(store, writer, Excerpts(SPECS), SPECS), writer

    return make


def test_what_holds_is_published_and_asked_for_once(desk: Callable[..., tuple[Desk, Scripted]], stored: Piece) -> None:
    made, writer = desk(GOOD)
    number, summary = made.summary(stored, DAY)
    assert made.summary(stored, DAY) == (number, summary)
    assert writer.asked == ["write"]
    assert summary.kind == SummaryKind.DIGEST
    assert len(summary.sections[1].blocks) == 3


def test_two_processes_that_write_the_same_piece_up_at_once_keep_one_summary(
    store: Store, desk: Callable[..., tuple[Desk, Scripted]], stored: Piece
) -> None:
    other, _ = desk(GOOD)

    class Slow(Scripted):
        def write(self, piece: Piece) -> Summary:
            other.summary(piece, DAY)
            return super().write(piece)

    late = Desk(store, Slow([replace(GOOD, model="model-2")]), Excerpts(SPECS), SPECS)
    number, summary = late.summary(stored, DAY)
    assert (number, summary) == other.summary(stored, DAY)
    assert summary.model == "model-1"


def test_what_fails_goes_back_once_named(desk: Callable[..., tuple[Desk, Scripted]], stored: Piece) -> None:
    made, writer = desk(MIXED, GOOD)
    _, summary = made.summary(stored, DAY)
    assert writer.asked[0] == "write" and writer.asked[1].startswith("repair ")
    assert "96 percent" not in str(summary.sections)


def test_what_still_fails_goes(desk: Callable[..., tuple[Desk, Scripted]], stored: Piece) -> None:
    made, _ = desk(MIXED, MIXED)
    _, summary = made.summary(stored, DAY)
    assert summary.kind == SummaryKind.DIGEST
    assert "96 percent" not in str(summary.sections)
    assert any("left out" in note for note in summary.notes)


def test_a_repair_that_makes_it_worse_is_not_taken(desk: Callable[..., tuple[Desk, Scripted]], stored: Piece) -> None:
    made, _ = desk(MIXED, BAD)
    _, summary = made.summary(stored, DAY)
    assert summary.kind == SummaryKind.DIGEST and "51 percent" in str(summary.sections)


def test_a_digest_that_does_not_hold_becomes_excerpts_and_says_so(
    desk: Callable[..., tuple[Desk, Scripted]], stored: Piece
) -> None:
    made, _ = desk(BAD, BAD)
    _, summary = made.summary(stored, DAY)
    assert summary.kind == SummaryKind.EXCERPTS
    assert any("too little of what the model wrote" in note for note in summary.notes)
    assert all(claim.sentence in TEXT for section in summary.sections for block in section.blocks for claim in block)


def test_a_model_that_refuses_a_piece_leaves_excerpts_and_is_asked_again_the_next_time(
    desk: Callable[..., tuple[Desk, Scripted]], stored: Piece
) -> None:
    made, writer = desk(WritingError("the model refused"), GOOD)
    assert made.summary(stored, DAY)[1].kind == SummaryKind.EXCERPTS
    assert made.summary(stored, DAY)[1].kind == SummaryKind.DIGEST
    assert writer.asked == ["write", "write"]


def test_excerpts_are_written_once_however_often_the_model_fails(
    desk: Callable[..., tuple[Desk, Scripted]], stored: Piece
) -> None:
    made, _ = desk(WritingError("no"), WritingError("no"))
    assert made.summary(stored, DAY) == made.summary(stored, DAY)


def test_a_writer_that_can_write_nothing_stops_the_issue(
    desk: Callable[..., tuple[Desk, Scripted]], stored: Piece
) -> None:
    made, _ = desk(WriterUnavailable("key refused"))
    with pytest.raises(WriterUnavailable):
        made.summary(stored, DAY)


def test_a_piece_that_nobody_can_write_up_is_said(store: Store) -> None:
    made = Desk(store, Excerpts(SPECS), Excerpts(SPECS), SPECS)
    with pytest.raises(WritingError):
        made.summary(piece(1, text="???"), DAY)


def test_a_changed_text_is_written_again(desk: Callable[..., tuple[Desk, Scripted]], stored: Piece) -> None:
    made, writer = desk(GOOD, GOOD)
    made.summary(stored, DAY)
    made.summary(replace(stored, text=TEXT + "\n\nOne more paragraph was added here."), DAY)
    assert writer.asked == ["write", "write"]


_CLAIMS = st.builds(Claim, st.text(), st.lists(st.text()).map(tuple))
_SECTIONS = st.builds(
    Section,
    st.text(),
    st.text(),
    st.sampled_from(SectionShape),
    st.lists(st.lists(_CLAIMS).map(tuple)).map(tuple),
    st.booleans(),
)
_SUMMARIES = st.builds(
    Summary,
    st.sampled_from(SummaryKind),
    st.lists(_SECTIONS, max_size=3).map(tuple),
    st.text(),
    st.text(),
    st.text(),
    st.text(),
    st.integers(),
    st.integers(),
    st.floats(allow_nan=False),
    st.lists(st.text()).map(tuple),
)


@pytest.mark.slow
@given(_SUMMARIES)
def test_any_summary_comes_back_from_json_as_it_went_in(summary: Summary) -> None:
    assert summaries.from_json(summaries.to_json(summary)) == summary
