"""Sections, writer and grounding -> a checked summary, kept so that no piece is written twice.

What a model wrote is checked against the piece; what does not hold goes. When too little is left, the piece becomes
excerpts of its author's own sentences, marked as such; when even that cannot be had, it leaves the issue.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from newsletter import grounding
from newsletter.costs import StoredMeter
from newsletter.pieces import Candidate
from newsletter.sections import SectionSpec
from newsletter.store import Store
from newsletter.store.tables import SummaryRow
from newsletter.triage import Brief, Votes
from newsletter.values import Appraisal, Claim, Piece, Section, SectionShape, Summary, SummaryKind
from newsletter.writers import Repairer, Writer, WritingError, source_hash


class Appraiser(Protocol):
    """Says what candidates are worth, otherwise than by rule."""

    def fingerprint(self) -> str:
        """Names all that shapes an appraisal but candidates and brief."""
        ...

    def appraise(
        self,
        candidates: Sequence[Candidate],
        brief: Brief,
        weights: Mapping[str, float],
        now: dt.datetime,
        *,
        votes: Votes,
        past: Sequence[str],
    ) -> list[Appraisal]:
        """Appraise every candidate. Raises nothing: where there is no judgement, the rule's score stands."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Where summaries are made: who writes, who steps in, in which sections, and where they are kept.

    ``appraiser`` judges candidates (None: they are scored by rule), ``meter`` keeps the accounts, ``at_a_time``
    pieces are written together.
    """

    store: Store
    writer: Writer
    fallback: Writer
    sections: tuple[SectionSpec, ...]
    language: str = "en"
    appraiser: Appraiser | None = None
    meter: StoredMeter | None = None
    at_a_time: int = 1

    @property
    def has_model(self) -> bool:
        """Whether a model writes, so that excerpts only step in."""
        return self.writer.fingerprint() != self.fallback.fingerprint()

    def summary(self, piece: Piece, now: dt.datetime) -> tuple[int, Summary]:
        """The summary of a stored piece and its number: the kept one, else a new one.

        Raises WritingError when nobody can write it, WriterUnavailable when the writer can write nothing at all.
        """
        kept = self._kept(piece, self.writer)
        if kept:
            return kept
        try:
            summary, by = self._checked(piece), self.writer
        except WritingError as error:
            if not self.has_model:
                raise
            kept = self._kept(piece, self.fallback)
            if kept:
                return kept
            summary, by = self.fallback.write(piece), self.fallback
            summary = replace(summary, notes=(*summary.notes, f"excerpts, since {error}"))
        return self._keep(piece, by, summary, now)

    def reopen(self, number: int, piece: Piece, summary: Summary, taken: Collection[str]) -> Summary:
        """The kept summary ``number``, its paragraphs beginning otherwise than with the words that are taken.

        First its sentences are turned or cut; where that does not do, the writer is asked once more; and what still
        begins so is noted. Excerpts stay as they are: they are the author's words.
        """
        if summary.kind == SummaryKind.EXCERPTS or not _shared(summary, taken):
            return summary
        better = grounding.reopened(summary, taken)
        if _shared(better, taken) and isinstance(self.writer, Repairer):
            better = self._asked_again(self.writer, piece, better, taken)
        notes = tuple(f"begins as another piece does: “{opening}”" for opening in _shared(better, taken))
        better = replace(better, notes=(*better.notes, *(note for note in notes if note not in better.notes)))
        if better != summary:
            with self.store.write() as session:
                row = session.get_one(SummaryRow, number)
                row.body, row.cost_usd = to_json(better), better.cost_usd
                session.add(row)
        return better

    def _asked_again(self, writer: Repairer, piece: Piece, summary: Summary, taken: Collection[str]) -> Summary:
        """What the writer makes of a summary whose openings are taken; the same summary where that is no better."""
        problems = [f"a paragraph begins with “{o}…” as another piece does" for o in _shared(summary, taken)]
        try:
            second = writer.repair(piece, summary, problems)
        except WritingError as error:
            return replace(summary, notes=(*summary.notes, f"not repaired: {error}"))
        settled = grounding.settle(second, self._check(second, piece), self.sections)
        reopened = grounding.reopened(settled, taken) if settled else summary
        if len(_shared(reopened, taken)) < len(_shared(summary, taken)):
            return reopened
        return replace(summary, cost_usd=second.cost_usd)

    def _checked(self, piece: Piece) -> Summary:
        """What the writer wrote, with only what holds. Raises WritingError when too little does."""
        summary = self.writer.write(piece)
        if summary.kind == SummaryKind.EXCERPTS:
            return summary
        report = self._check(summary, piece)
        if report.failures and isinstance(self.writer, Repairer):
            summary, report = self._repaired(self.writer, piece, summary, report)
        settled = grounding.settle(summary, report, self.sections)
        if settled is None:
            raise WritingError("too little of what the model wrote is borne out by the piece")
        return settled

    def _repaired(
        self, writer: Repairer, piece: Piece, first: Summary, report: grounding.Report
    ) -> tuple[Summary, grounding.Report]:
        """The better of the first draft and one repair of it: a repair can fail, and can break what held."""
        try:
            second = writer.repair(piece, first, report.problems)
        except WritingError as error:
            return replace(first, notes=(*first.notes, f"not repaired: {error}")), report
        report_on_second = self._check(second, piece)
        if len(report_on_second.failures) <= len(report.failures):
            return second, report_on_second
        return replace(first, cost_usd=second.cost_usd), report

    def _check(self, summary: Summary, piece: Piece) -> grounding.Report:
        return grounding.check(summary, piece, self.sections, language=self.language)

    def _kept(self, piece: Piece, writer: Writer) -> tuple[int, Summary] | None:
        query = select(SummaryRow).where(
            SummaryRow.piece_id == piece.id,
            SummaryRow.fingerprint == writer.fingerprint(),
            SummaryRow.source_hash == source_hash(piece),
        )
        with self.store.read() as session:
            row = session.exec(query).first()
            return (row.id or 0, from_json(row.body)) if row else None

    def _keep(self, piece: Piece, writer: Writer, summary: Summary, now: dt.datetime) -> tuple[int, Summary]:
        """Store a summary; where another process has just stored one of the same piece, that is the one that counts."""
        row = SummaryRow(
            piece_id=piece.id,
            fingerprint=writer.fingerprint(),
            source_hash=source_hash(piece),
            kind=summary.kind.value,
            writer=summary.writer,
            model=summary.model,
            cost_usd=summary.cost_usd,
            created_at=now,
            body=to_json(summary),
        )
        try:
            with self.store.write() as session:
                session.add(row)
                session.flush()
                return row.id or 0, summary
        except IntegrityError:
            kept = self._kept(piece, writer)
            if kept is None:
                raise
            return kept


def _shared(summary: Summary, taken: Collection[str]) -> list[str]:
    """The openings of a summary that are taken, or that it has twice itself."""
    found = Counter(opening for _, _, opening in grounding.openings(summary))
    return [opening for opening, count in found.items() if count > 1 or opening in taken]


def to_json(summary: Summary) -> dict[str, Any]:
    """The summary as plain JSON values; `from_json` gives the same summary again."""
    return {
        "kind": summary.kind.value,
        "writer": summary.writer,
        "model": summary.model,
        "prompt_version": summary.prompt_version,
        "source_hash": summary.source_hash,
        "words_read": summary.words_read,
        "words_total": summary.words_total,
        "cost_usd": summary.cost_usd,
        "notes": list(summary.notes),
        "sections": [
            {
                "key": section.key,
                "heading": section.heading,
                "shape": section.shape.value,
                "is_suggestion": section.is_suggestion,
                "blocks": [[[claim.sentence, list(claim.quotes)] for claim in block] for block in section.blocks],
            }
            for section in summary.sections
        ],
    }


def from_json(body: dict[str, Any]) -> Summary:
    """The summary that `to_json` wrote."""
    plain = {
        key: body[key]
        for key in ("writer", "model", "prompt_version", "source_hash", "words_read", "words_total", "cost_usd")
    }
    sections = tuple(
        Section(
            key=section["key"],
            heading=section["heading"],
            shape=SectionShape(section["shape"]),
            blocks=tuple(
                tuple(Claim(sentence, tuple(quotes)) for sentence, quotes in block) for block in section["blocks"]
            ),
            is_suggestion=section["is_suggestion"],
        )
        for section in body["sections"]
    )
    return Summary(kind=SummaryKind(body["kind"]), sections=sections, notes=tuple(body["notes"]), **plain)
