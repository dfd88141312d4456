"""The day's work end to end, from parts handed in: the only place that knows the order of the stages.

    fetch -> candidates -> triage -> selection -> summaries -> draft -> freeze -> editions -> messages -> hand-over

No stage knows whether it runs for a dry run: `build` stores pieces and summaries and consumes nothing, and only
`freeze` takes what it sends.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from sqlmodel import Session

import subscribers
from newsletter import deliveries, editions, issues, messages, pieces, selection, triage
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
from newsletter.triage import Brief
from newsletter.values import Appraisal, Edition, Issue, IssuePiece, Message, Selection
from newsletter.writers import WritingError
from subscribers import Frequency, Links, Purpose


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

    def today(self) -> dt.date:
        """The day it is for the newsletter."""
        return self.clocks.now().astimezone(ZoneInfo(self.config.newsletter.time_zone)).date()


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` came to: a draft's number, or none and the reason. ``changed`` says that the draft was made anew."""

    number: int | None
    reason: str = ""
    changed: bool = False


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
        return Built(None, picked.shortfall)
    title = press.renderer.title_for(press.today())
    draft = Draft(slot, press.today(), title, current, picked, entries)
    with press.store.write() as session:
        return Built(issues.save(session, draft, press.clocks.now(), number), changed=True)


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
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def appraise(press: Press, found: list[Candidate], rulings: dict[int, str]) -> list[Appraisal]:
    """Every candidate with its score and the owner's word on it."""
    config = press.config
    brief = Brief(config.newsletter.brief, config.topic_values(), config.selection.max_age_days)
    weights = {source.key: source.weight for source in config.sources}
    appraised = triage.appraise(found, brief, weights, press.clocks.now())
    return [_ruled(appraisal, rulings.get(appraisal.piece.id, "")) for appraisal in appraised]


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
    appraisals = appraise(press, found, rulings)
    written: dict[int, tuple[IssuePiece, int]] = {}
    while True:
        picked = selection.select(appraisals, rules)
        unwritten: dict[int, str] = {}
        for choice in picked.chosen:
            piece = choice.appraisal.piece
            if piece.id in written:
                continue
            try:
                summary_id, summary = desk.summary(piece, press.clocks.now())
            except WritingError as error:
                unwritten[piece.id] = f"could not be written up: {error}"
                continue
            wrote(piece.title)
            entry = IssuePiece(piece, summary, choice.appraisal.topics, choice.appraisal.score, choice.why)
            written[piece.id] = (entry, summary_id)
        if not unwritten:
            return picked, tuple(_entry(written[choice.appraisal.piece.id], choice.why) for choice in picked.chosen)
        appraisals = [
            replace(a, refusal=unwritten[a.piece.id], pinned=False) if a.piece.id in unwritten else a
            for a in appraisals
        ]


def _entry(written: tuple[IssuePiece, int], why: str) -> tuple[IssuePiece, int]:
    entry, summary_id = written
    return replace(entry, why=why), summary_id


def assignments(press: Press, session: Session, issue: Issue) -> dict[str, Assignment]:
    """Which edition each group of readers gets, by what they follow."""
    by_text = {group.follows: group.topics for group in subscribers.groups(session, press.clocks.now())}
    given = editions.assign(issue, by_text.values(), [topic.key for topic in press.config.topics])
    return {text: given[follows] for text, follows in by_text.items()}


def freeze(press: Press, number: int) -> None:
    """Take the draft's pieces, make it public, and write its whole audience: one transaction, all or nothing.

    Raises RenderingError, and freezes nothing, when a template of the owner's is at fault.
    """
    now = press.clocks.now()
    with press.store.write() as session:
        issue = issues.load(session, number)
        groups = assignments(press, session, issue)
        press.renderer.edition(Edition(issue, issue.pieces))
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
    reader = Reader(
        address=claimed.address,
        unsubscribe_url=f"{base}/u/{tokens.sign(Purpose.UNSUBSCRIBE, claimed.subscriber_id, issue.number)}",
        preferences_url=f"{base}/p/{tokens.sign(Purpose.PREFERENCES, claimed.subscriber_id)}",
        because=press.renderer.because(claimed.follows),
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
