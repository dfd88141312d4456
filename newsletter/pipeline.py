"""The day's work end to end, from parts handed in: the only place that knows the order of the stages.

    fetch -> candidates -> triage -> selection -> summaries -> draft -> freeze -> editions -> messages -> hand-over

No stage knows whether it runs for a dry run: `build` stores pieces and summaries and consumes nothing, and only
`freeze` takes what it sends.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from sqlmodel import Session

import subscribers
from newsletter import deliveries, editions, grounding, issues, messages, pieces, selection, triage
from newsletter.config import Config
from newsletter.deliveries import Claimed, Clocks
from newsletter.editions import Assignment
from newsletter.intake import Intake, SourceReport
from newsletter.issues import Draft, IssueError
from newsletter.messages import Sender
from newsletter.pieces import Candidate
from newsletter.providers import Provider
from newsletter.rendering import Reader, RenderedEdition, Renderer
from newsletter.store import Store
from newsletter.summaries import Desk
from newsletter.triage import Brief, Votes
from newsletter.values import Appraisal, Edition, Issue, IssuePiece, Message, Piece, Selection, Summary, SummaryKind
from newsletter.writers import WritingError
from subscribers import Frequency, Links, Purpose

PAST_TITLES = 60
"""Titles of earlier pieces that triage is told."""


@dataclass(frozen=True, slots=True)
class Press:
    """The parts that the stages work with, made once at the edge."""

    config: Config
    store: Store
    clocks: Clocks
    renderer: Renderer
    tokens: Links
    frequencies: tuple[Frequency, ...] = (Frequency.EVERY,)
    """How often this newsletter mails. A reader may choose no other: weekly and monthly come with the round-ups."""
    votes: Callable[[Session, Sequence[int]], Mapping[int, tuple[int, int]]] | None = None
    """Readers' votes on pieces, worth their time and not, by the piece's number; None: nobody is asked."""

    def today(self) -> dt.date:
        """The day it is for the newsletter."""
        return self.clocks.now().astimezone(ZoneInfo(self.config.newsletter.time_zone)).date()


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` came to: a draft's number, or none and the reason. ``changed`` says that the draft was made anew.

    ``warnings`` are what the owner should know of how it was made.
    """

    number: int | None
    reason: str = ""
    changed: bool = False
    warnings: tuple[str, ...] = ()


def fetch(
    press: Press, intake: Intake, heard: Callable[[SourceReport], None], *, fresh_minutes: int = 0
) -> list[SourceReport]:
    """Read every configured source."""
    return intake.fetch(press.config.source_values(), press.clocks.now(), fresh_minutes=fresh_minutes, heard=heard)


def build(press: Press, desk: Desk, *, wrote: Callable[[str], None] = lambda line: None, anew: bool = False) -> Built:
    """Select, write and compose a draft for today, or keep the one there is when nothing that it was made from changed.

    ``wrote`` hears of each summary. ``anew`` makes the draft again in any case.
    """
    slot = press.today().isoformat()
    with press.store.read() as session:
        out = issues.in_slot(session, slot)
        number = issues.draft_number(session)
        if out is not None and out.state != issues.DRAFT:
            return Built(None, f"today's issue {out.id} is out already")
        rulings = issues.rulings(session, number) if number else {}
        found = _candidates(press, session)
        current = input_hash(press, desk, found, rulings)
        if number and not anew and issues.row_of(session, number).input_hash == current:
            return Built(number)
    picked, entries = _choose_and_write(press, desk, found, rulings, wrote)
    if not picked.chosen:
        with press.store.write() as session:
            if number:
                issues.reject(session, number)
        return Built(None, picked.shortfall, warnings=tuple(_warnings(picked, ())))
    title = issues.title_for(press.config.newsletter.name, press.today())
    draft = Draft(slot, press.today(), title, current, picked, entries)
    with press.store.write() as session:
        saved = issues.save(session, draft, press.clocks.now(), number)
        if desk.meter:
            desk.meter.assign(session, saved)
    return Built(saved, changed=True, warnings=tuple(_warnings(picked, entries)))


def _warnings(picked: Selection, entries: Sequence[tuple[IssuePiece, int]]) -> Iterator[str]:
    """What did not go as it should: candidates without the model's appraisal, pieces without its digest."""
    notes = Counter(c.appraisal.note for c in (*picked.chosen, *picked.left_out))
    for note, count in notes.items():
        if note.startswith("scored by rule: Claude"):
            yield f"{count} of {notes.total()} candidates {note}"
    for entry, _ in entries:
        why = [note for note in entry.summary.notes if note.startswith("excerpts, since")]
        yield from (f"{entry.piece.title}: {note}" for note in why)


def held_back(desk: Desk, issue: Issue) -> str:
    """Why a draft may not go out without the owner's own word on it, in one clause; empty when it may.

    With a model configured, an issue of more than half excerpts says that something is wrong with the model. Without
    one, excerpts are what was asked for.
    """
    excerpts = sum(entry.summary.kind == SummaryKind.EXCERPTS for entry in issue.pieces)
    if not desk.has_model or excerpts * 2 <= len(issue.pieces):
        return ""
    return f"{excerpts} of {len(issue.pieces)} pieces are excerpts, though a model is configured to write"


def is_current(press: Press, desk: Desk, number: int) -> bool:
    """Whether a draft still is what `build` would make now."""
    with press.store.read() as session:
        found = _candidates(press, session)
        return issues.row_of(session, number).input_hash == input_hash(
            press, desk, found, issues.rulings(session, number)
        )


def _candidates(press: Press, session: Session) -> list[Candidate]:
    return pieces.candidates(session, press.clocks.now(), press.config.selection.max_age_days)


def input_hash(press: Press, desk: Desk, found: list[Candidate], rulings: dict[int, str]) -> str:
    """Names all that a draft is made from: the day, candidates, rulings, configuration and writer."""
    config = press.config
    inputs = {
        "day": press.today().isoformat(),
        "candidates": [[c.piece.id, c.piece.words, list(c.also_in)] for c in found],
        "rulings": sorted(rulings.items()),
        "newsletter": config.newsletter.model_dump(),
        "selection": config.selection.model_dump(),
        "topics": [topic.model_dump() for topic in config.topics],
        "weights": {source.key: source.weight for source in config.sources},
        "writer": desk.writer.fingerprint(),
        "appraiser": desk.appraiser.fingerprint() if desk.appraiser else "",
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def appraise(press: Press, desk: Desk, found: list[Candidate], rulings: dict[int, str]) -> list[Appraisal]:
    """Every candidate with its score and the owner's word on it."""
    config = press.config
    brief = Brief(config.newsletter.brief, config.topic_values(), config.selection.max_age_days)
    weights = {source.key: source.weight for source in config.sources}
    now = press.clocks.now()
    with press.store.read() as session:
        votes, past = _votes(press, session), issues.past_titles(session, PAST_TITLES)
    if desk.appraiser:
        appraised = desk.appraiser.appraise(found, brief, weights, now, votes=votes, past=past)
    else:
        appraised = triage.appraise(found, brief, weights, now, votes)
    return [_ruled(appraisal, rulings.get(appraisal.piece.id, "")) for appraisal in appraised]


def _votes(press: Press, session: Session) -> Votes:
    """Readers' votes on what came out, added up by source and by topic."""
    if press.votes is None:
        return {}
    about = issues.published(session)
    totals: dict[str, tuple[int, int]] = {}
    for piece, (worth, not_worth) in press.votes(session, list(about)).items():
        for key in about.get(piece, ()):
            before = totals.get(key, (0, 0))
            totals[key] = (before[0] + worth, before[1] + not_worth)
    return totals


def _ruled(appraisal: Appraisal, verdict: str) -> Appraisal:
    if verdict == issues.DROP:
        return replace(appraisal, refusal="dropped by the owner")
    return replace(appraisal, refusal="", pinned=True) if verdict == issues.PIN else appraisal


def _choose_and_write(
    press: Press, desk: Desk, found: list[Candidate], rulings: dict[int, str], wrote: Callable[[str], None]
) -> tuple[Selection, tuple[tuple[IssuePiece, int], ...]]:
    """Choose and write until every chosen piece has a summary: where one cannot be had, the next candidate moves up."""
    limits = press.config.selection
    rules = selection.Rules(limits.min_pieces, limits.max_pieces, limits.min_score, limits.max_per_source)
    appraisals = appraise(press, desk, found, rulings)
    written: dict[int, tuple[int, Summary]] = {}
    while True:
        picked = selection.select(appraisals, rules)
        missing = [c.appraisal.piece for c in picked.chosen if c.appraisal.piece.id not in written]
        unwritten: dict[int, str] = {}
        for piece, result in zip(missing, _written(press, desk, missing, wrote), strict=True):
            if isinstance(result, WritingError):
                unwritten[piece.id] = f"could not be written up: {result}"
            else:
                written[piece.id] = result
        if not unwritten:
            return picked, _entries(desk, picked, written)
        appraisals = [
            replace(a, refusal=unwritten[a.piece.id], pinned=False) if a.piece.id in unwritten else a
            for a in appraisals
        ]


def _written(
    press: Press, desk: Desk, missing: Sequence[Piece], wrote: Callable[[str], None]
) -> list[tuple[int, Summary] | WritingError]:
    """The summary of each piece, or why it has none, in their order. Several are written at a time.

    What stops the issue (a key refused, a signal) is raised once those in flight have come to their end, which are
    paid for and kept; what nobody began stays unwritten.
    """

    def write(piece: Piece) -> tuple[int, Summary] | WritingError:
        try:
            return desk.summary(piece, press.clocks.now())
        except WritingError as error:
            return error

    done = []
    pool = ThreadPoolExecutor(desk.at_a_time, thread_name_prefix="writer")
    try:
        for piece, future in [(piece, pool.submit(write, piece)) for piece in missing]:
            done.append(future.result())
            if not isinstance(done[-1], WritingError):
                wrote(piece.title)
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
    return done


def _entries(
    desk: Desk, picked: Selection, written: Mapping[int, tuple[int, Summary]]
) -> tuple[tuple[IssuePiece, int], ...]:
    """The issue's pieces in order, no two paragraphs of them with the same beginning, as far as that can be had."""
    taken: set[str] = set()
    entries = []
    for choice in picked.chosen:
        appraisal = choice.appraisal
        number, summary = written[appraisal.piece.id]
        summary = desk.reopen(number, appraisal.piece, summary, taken)
        taken |= {opening for _, _, opening in grounding.openings(summary)}
        entry = IssuePiece(appraisal.piece, summary, appraisal.topics, appraisal.score, choice.why)
        entries.append((entry, number))
    return tuple(entries)


def assignments(press: Press, session: Session, issue: Issue) -> dict[str, Assignment]:
    """Which edition each group of readers gets, by what they follow."""
    by_text = {group.follows: group.topics for group in subscribers.groups(session, press.clocks.now())}
    given = editions.assign(issue, by_text.values(), [topic.key for topic in press.config.topics])
    return {text: given[follows] for text, follows in by_text.items()}


def freeze(press: Press, number: int) -> None:
    """Take the draft's pieces, make it public, and write its whole audience: one transaction, all or nothing."""
    now = press.clocks.now()
    with press.store.write() as session:
        issue = issues.load(session, number)
        groups = assignments(press, session, issue)
        issues.publish(session, number, now)
        deliveries.plan(session, number, groups, frequency=Frequency.EVERY, due_at=now, now=now)


def send(
    press: Press, number: int, provider: Provider, progress: Callable[[int], None] = lambda handed: None
) -> dict[str, int]:
    """Hand over what is due of a frozen issue. Returns how many deliveries are in each state.

    Raises NotAllowed when the provider does not accept us.
    """
    with press.store.read() as session:
        issue = issues.load(session, number)
        edition_pieces = deliveries.editions_of(session, number)
    if issue.state != issues.FROZEN:
        raise IssueError(f"issue {number} is {issue.state}, and only a frozen issue is handed over")
    rendered = {key: press.renderer.edition(edition_of(issue, numbers)) for key, numbers in edition_pieces.items()}

    def addressed(claimed: Claimed) -> Message:
        return address(press, issue, rendered[claimed.edition_id], claimed)

    deliveries.send(
        press.store, number, provider, addressed, press.clocks, chunk=press.config.delivery.chunk, progress=progress
    )
    with press.store.read() as session:
        return deliveries.counts(session, number)


def edition_of(issue: Issue, numbers: tuple[int, ...]) -> Edition:
    """The edition of an issue with the pieces of these numbers."""
    by_number = {entry.piece.id: entry for entry in issue.pieces}
    return Edition(issue, tuple(by_number[number] for number in numbers))


def sender(config: Config) -> Sender:
    """Who the mails of this newsletter are from."""
    delivery = config.delivery
    domain = delivery.from_address.rpartition("@")[2]
    return Sender(
        name=delivery.from_name or config.newsletter.name,
        address=delivery.from_address,
        list_name=config.newsletter.name,
        list_id=messages.list_id_of(config.newsletter.name, domain),
        reply_to=delivery.reply_to,
    )


def address(press: Press, issue: Issue, rendered: RenderedEdition, claimed: Claimed) -> Message:
    """An edition addressed to the reader of a claimed delivery."""
    config, tokens = press.config, press.tokens
    base = config.web.base_url.rstrip("/")
    names = {topic.key: topic.name for topic in config.topics}
    reader = Reader(
        address=claimed.address,
        unsubscribe_url=f"{base}/u/{tokens.sign(Purpose.UNSUBSCRIBE, claimed.subscriber_id, issue.number)}",
        preferences_url=f"{base}/p/{tokens.sign(Purpose.PREFERENCES, claimed.subscriber_id)}",
        because=editions.because(claimed.follows, names),
        feedback_url=f"{base}/f/{tokens.sign(Purpose.FEEDBACK, claimed.subscriber_id, issue.number)}",
    )
    return messages.compose(
        rendered,
        reader,
        sender(config),
        key=claimed.key,
        issue=issue.number,
        date=press.clocks.now(),
        text_only=claimed.text_only,
    )
