"""The day's work end to end, from parts handed in: the only place that knows the order of the stages.

    fetch -> candidates -> triage -> selection -> summaries -> draft -> freeze -> editions -> messages -> hand-over

No stage knows whether it runs for a dry run: `build` stores pieces and summaries and consumes nothing, and only
`freeze` takes what it sends.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

import subscribers
from newsletter import (
    deliveries,
    editions,
    grounding,
    intake,
    issues,
    messages,
    pieces,
    roundups,
    selection,
    sending,
    slots,
    triage,
)
from newsletter.config import Config
from newsletter.deliveries import Claimed, Clocks
from newsletter.editions import Assignment
from newsletter.intake import Intake, SourceReport
from newsletter.issues import Draft, IssueError
from newsletter.messages import EditionMessage, Mould, Sender
from newsletter.pieces import Candidate
from newsletter.problems import TryLater
from newsletter.providers import Provider
from newsletter.rendering import Reader, Renderer
from newsletter.sending import Halt, Rules, check_witness
from newsletter.slots import Slot
from newsletter.store import Store
from newsletter.summaries import Desk
from newsletter.triage import Brief, Votes
from newsletter.values import Appraisal, Edition, Issue, IssuePiece, Message, Piece, Selection, Summary, SummaryKind
from newsletter.writers import WritingError
from subscribers import Frequency, Letter, Links, Purpose

EDITIONS_AT_ONCE = 64
"""Rendered editions that are kept at a time while an issue is handed over."""

PAST_TITLES = 60
"""Titles of earlier pieces that triage is told."""
VOTED_ON = 5000
"""Newest pieces whose votes count."""


class NothingToRead(TryLater):
    """There is nothing to choose from, and no source could be read: it may well be better later."""


@dataclass(frozen=True, slots=True)
class Press:
    """The parts that the stages work with, made once at the edge."""

    config: Config
    store: Store
    clocks: Clocks
    renderer: Renderer
    tokens: Links
    frequencies: tuple[Frequency, ...] = (Frequency.EVERY,)
    """How often this newsletter mails. A reader may choose no other."""

    def today(self) -> dt.date:
        """The day it is for the newsletter."""
        return self.clocks.now().astimezone(ZoneInfo(self.config.newsletter.time_zone)).date()


def frequencies(config: Config) -> tuple[Frequency, ...]:
    """How often a newsletter of this configuration mails: every issue, and the round-ups that have a time."""
    offered = config.timetable().kinds
    return tuple(one for one in Frequency if one is Frequency.EVERY or one.value in offered)


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` came to: a draft's number, or none and the reason.

    ``changed`` says that the draft was made anew, ``is_taken`` that the slot has its issue: someone else was faster.
    ``warnings`` are what the owner should know of how it was made; ``held_back``, of `fetch_and_build`, is why it may
    not go out without the owner's own word.
    """

    number: int | None
    reason: str = ""
    changed: bool = False
    is_taken: bool = False
    warnings: tuple[str, ...] = ()
    held_back: str = ""


_TAKEN = Built(None, "another process has just made it", is_taken=True)


def fetch(
    press: Press, intake: Intake, heard: Callable[[SourceReport], None], *, fresh_minutes: int = 0
) -> list[SourceReport]:
    """Read every configured source."""
    return intake.fetch(press.config.source_values(), press.clocks.now(), fresh_minutes=fresh_minutes, heard=heard)


def fetch_and_build(
    press: Press,
    reader: Intake,
    desk: Desk,
    *,
    slot: str = "",
    heard: Callable[[SourceReport], None] = lambda report: None,
    wrote: Callable[[str], None] = lambda line: None,
) -> Built:
    """Ask the sources that were not asked lately, and `build`.

    Raises NothingToRead when nothing can be made and no source could be read.
    """
    reports = fetch(press, reader, heard, fresh_minutes=press.config.fetching.fresh_minutes)
    built = build(press, desk, slot=slot, wrote=wrote)
    if built.number is None and reports and all(report.status == intake.FAILED for report in reports):
        raise NothingToRead(f"no issue: {built.reason}; none of {len(reports)} sources could be read")
    if built.number is None:
        return built
    with press.store.read() as session:
        return replace(built, held_back=held_back(desk, issues.load(session, built.number)))


def build(
    press: Press,
    desk: Desk,
    *,
    slot: str = "",
    wrote: Callable[[str], None] = lambda line: None,
    anew: bool = False,
) -> Built:
    """Select, write and compose the draft of a slot, or keep the one there is when nothing that it was made from
    changed, or when the owner approved it.

    Without ``slot``, a slot's key, it is today's. ``wrote`` hears of each summary. ``anew`` makes the draft again in
    any case.
    """
    with press.store.read() as session:
        number = issues.draft_number(session)
        slot = slot or _todays(press, session, number)
        out = issues.in_slot(session, slot)
        if out is not None and out.state != issues.DRAFT:
            return Built(None, f"today's issue {out.id} is out already", is_taken=True)
        rulings = issues.rulings(session, number) if number else {}
        found = _candidates(press, session)
        current = input_hash(press, desk, slot, found, rulings)
        if number and not anew and _is_kept(session, number, slot, current):
            return Built(number)
    picked, entries = _choose_and_write(press, desk, found, rulings, wrote)
    if not picked.chosen:
        return _without(press, picked, number)
    day = slots.day_of(slot)
    draft = Draft(slot, day, press.renderer.title_for(day), current, picked, entries)
    return _save(press, desk, draft, number)


def _without(press: Press, picked: Selection, number: int | None) -> Built:
    """Nothing is worth an issue, and the draft that there was is thrown away."""
    try:
        with press.store.write() as session:
            if number:
                issues.reject(session, number, press.clocks.now())
    except IssueError:
        return _TAKEN
    return Built(None, picked.shortfall, warnings=tuple(_warnings(picked, ())))


def _save(press: Press, desk: Desk, draft: Draft, number: int | None) -> Built:
    try:
        with press.store.write() as session:
            saved = issues.save(session, draft, press.clocks.now(), number)
            if desk.meter:
                desk.meter.assign(session, saved)
    except (IntegrityError, IssueError):
        # The slot has its issue, or the draft that this one takes the place of is out.
        return _TAKEN
    return Built(saved, changed=True, warnings=tuple(_warnings(draft.selection, draft.entries)))


def _todays(press: Press, session: Session, number: int | None) -> str:
    """The slot of an issue that the owner makes by hand: that of today's draft, else the day's first."""
    today = press.today().isoformat()
    kept = issues.row_of(session, number).slot if number else None
    return kept if kept and kept.startswith(today) else today


def _is_kept(session: Session, number: int, slot: str, current: str) -> bool:
    row = issues.row_of(session, number)
    return row.slot == slot and (row.input_hash == current or issues.is_approved(session, number))


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
        slot, found = _todays(press, session, number), _candidates(press, session)
        current = input_hash(press, desk, slot, found, issues.rulings(session, number))
        return _is_kept(session, number, slot, current)


def _candidates(press: Press, session: Session) -> list[Candidate]:
    return pieces.candidates(session, press.clocks.now(), press.config.selection.max_age_days)


def input_hash(press: Press, desk: Desk, slot: str, found: list[Candidate], rulings: dict[int, str]) -> str:
    """Names all that a draft is made from: the slot, candidates, rulings, configuration and writer."""
    config = press.config
    inputs = {
        "slot": slot,
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
        votes, past = _votes(session), issues.past_titles(session, PAST_TITLES)
    if desk.appraiser:
        appraised = desk.appraiser.appraise(found, brief, weights, now, votes=votes, past=past)
    else:
        appraised = triage.appraise(found, brief, weights, now, votes)
    return [_ruled(appraisal, rulings.get(appraisal.piece.id, "")) for appraisal in appraised]


def _votes(session: Session) -> Votes:
    """Readers' votes on what came out, added up by source and by topic."""
    about = issues.subjects(session, VOTED_ON)
    totals: dict[str, tuple[int, int]] = {}
    for piece, votes in subscribers.votes(session, about.keys()).items():
        for key in about[piece]:
            worth, not_worth = totals.get(key, (0, 0))
            totals[key] = (worth + votes.worth, not_worth + votes.not_worth)
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
    """Take the draft's pieces, make it public, and write its whole audience: one transaction, all or nothing.

    Readers who just changed to every issue get the best of what they would miss, too. Raises RenderingError, and
    freezes nothing, when a template of the owner's is at fault.
    """
    now, most = press.clocks.now(), press.config.schedule.roundup_pieces
    with press.store.write() as session:
        check_witness(press.store, session)
        issue = issues.load(session, number)
        press.renderer.edition(Edition(issue, issue.pieces))
        plan = roundups.catch_up(session, issue, now=now, most=most, known_topics=_topics(press))
        issues.publish(session, number, now)
        _plan(press, session, issue, plan, now)


def round_up(press: Press, slot: Slot) -> Built:
    """Make the round-up of a slot and write its whole audience: one transaction, all or nothing.

    It needs no draft: all of it came out before. Without anything in its period, or without readers, there is none, and
    the reason is kept.
    """
    try:
        with press.store.write() as session:
            check_witness(press.store, session)
            if issues.in_slot(session, slot.key) or issues.empty_slot(session, slot.key):
                return _TAKEN
            reason = _nothing_to_round_up(press, session, slot)
            if reason:
                issues.leave_empty(session, slot.key, slot.kind, reason, press.clocks.now())
                return Built(None, reason)
            return Built(_round_up(press, session, slot), changed=True)
    except IntegrityError:
        return _TAKEN


def _nothing_to_round_up(press: Press, session: Session, slot: Slot) -> str:
    now = press.clocks.now()
    if not subscribers.groups(session, now, Frequency(slot.kind)):
        return f"nobody reads {slot.kind}"
    # Who just changed the frequency may be behind with more than the period.
    return "" if issues.published_since(session, now - roundups.LOOK_BACK) else "nothing came out"


def _round_up(press: Press, session: Session, slot: Slot) -> int:
    config, now = press.config, press.clocks.now()
    before = config.timetable().before(slot)
    day, moment = (before.day, before.at) if before else (slot.day, slot.at)
    title = press.renderer.round_up_title(slot.kind, day, slot.day)
    after = max(issues.last_decided(session, slot.kind) or moment, now - roundups.LOOK_BACK)
    number = issues.add_round_up(session, slot, title, now)
    issue = issues.load(session, number)
    most = config.schedule.roundup_pieces
    plan = roundups.round_up(session, issue, after=after, now=now, most=most, known_topics=_topics(press))
    _plan(press, session, issue, plan, now)
    return number


def _plan(press: Press, session: Session, issue: Issue, plan: roundups.Plan, now: dt.datetime) -> None:
    frequency = Frequency(issue.kind)
    deliveries.plan(
        session,
        issue.number,
        plan.groups,
        frequency=frequency,
        due_at=now,
        now=now,
        group_of=plan.group,
        due_in=_hours(press, session, frequency),
    )
    roundups.done(session)


def _hours(press: Press, session: Session, frequency: Frequency) -> dict[str, dt.datetime] | None:
    """When the readers of each time zone are due for an issue that is frozen now; None: all at once."""
    hour, now = press.config.delivery.local_hour, press.clocks.now()
    if hour == "":
        return None
    ours = press.config.newsletter.time_zone
    zones = deliveries.time_zones(session, frequency, now)
    return {zone: deliveries.at_hour(hour, zone, ours, now) for zone in zones}


def _topics(press: Press) -> Sequence[str]:
    return [topic.key for topic in press.config.topics]


def ask_approval(press: Press, number: int, approve_by: dt.datetime) -> bool:
    """Ask the owner to approve a draft, once for the draft as it is: by a letter, when their address is configured.

    Returns whether they were not asked before. Past ``approve_by``, `issues.cancel_unapproved` cancels it.
    """
    owner = press.config.newsletter.owner_address
    with press.store.write() as session:
        asked = issues.ask_approval(session, number, approve_by)
        if asked and owner:
            values = _approval_values(press, issues.load(session, number), approve_by)
            subscribers.post_letter(session, Letter("approval", owner, values), now=press.clocks.now())
        return asked


def _approval_values(press: Press, issue: Issue, approve_by: dt.datetime) -> dict[str, str]:
    """What the letter to the owner says: the whole text of the issue, and the command."""
    rendered = press.renderer.edition(Edition(issue, issue.pieces))
    return {
        "title": issue.title,
        "digest": rendered.text_form.fill(dict.fromkeys(rendered.text_form.gaps, "")),
        "command": f"newsletter issues approve {issue.number}",
        "until": press.config.timetable().at(approve_by),
    }


def cancel(press: Press, number: int) -> int:
    """Send no more of a frozen issue; its page and its pieces stay public. Returns how many readers lose it."""
    with press.store.write() as session:
        return deliveries.cancel(session, number, press.clocks.real())


def due_issues(press: Press) -> Sequence[int]:
    """The issues with which `send` would go on now by itself, oldest first."""
    grace = _grace(press)
    doubted_until = None if grace is None else press.clocks.real() - grace
    with press.store.read() as session:
        return deliveries.due_issues(session, press.clocks.now(), window_start(press), doubted_until)


def _grace(press: Press) -> dt.timedelta | None:
    """How long what is in doubt stays so before it is handed over again; None: until somebody knows."""
    delivery = press.config.delivery
    return dt.timedelta(hours=delivery.in_doubt_grace_hours) if delivery.in_doubt == "resend" else None


def window_start(press: Press) -> dt.datetime:
    """What was due before this is too late to go by itself."""
    return press.clocks.now() - dt.timedelta(hours=press.config.delivery.window_hours)


def send(
    press: Press,
    number: int,
    provider: Provider,
    progress: Callable[[int], None] = lambda handed: None,
    *,
    late: bool = False,
    halt: Halt | None = None,
) -> dict[str, int]:
    """Hand over what is due of a frozen issue. Returns how many deliveries are in each state.

    ``late`` takes what is older than the window too. Pieces that were withdrawn since the freeze are in no mail that
    leaves from now on. Raises NotAllowed when the provider does not accept us, and
    NotTrusted when the database is not the newest of its copies.
    """
    with press.store.read() as session:
        issue = issues.load(session, number)
        withdrawn = issues.withdrawn(session)
        edition_pieces = {
            key: tuple(piece for piece in pieces if piece not in withdrawn)
            for key, pieces in deliveries.editions_of(session, number).items()
        }
        entries = entries_of(session, issue, edition_pieces.values())
    if issue.state != issues.FROZEN:
        raise IssueError(f"issue {number} is {issue.state}, and only a frozen issue is handed over")
    if empty := [key for key, pieces in edition_pieces.items() if not pieces]:
        with press.store.write() as session:
            deliveries.skip_editions(session, number, empty, "its pieces were withdrawn", press.clocks.real())

    @functools.lru_cache(EDITIONS_AT_ONCE)
    def moulded(key: int) -> Mould:
        return mould(press, issue, edition_of(issue, edition_pieces[key], entries))

    def addressed(claimed: Claimed) -> Message:
        return address(press, issue, moulded(claimed.edition_id), claimed)

    whole_calls = -(-press.config.delivery.chunk // provider.batch) * provider.batch
    rules = Rules(whole_calls, None if late else window_start(press), _grace(press))
    sending.send(press.store, number, provider, addressed, press.clocks, rules=rules, halt=halt, progress=progress)
    with press.store.read() as session:
        return deliveries.counts(session, number)


def test_copy(press: Press, number: int, to: str, tokens: Links) -> Message:
    """The whole issue as one message to try out, with a marked subject and a key that is no delivery's.

    Of a round-up, it is the edition that most of its readers get. ``tokens`` sign its links: they should open nothing,
    since the copy is nobody's.
    """
    with press.store.read() as session:
        issue = issues.load(session, number)
        edition = _for_most(session, issue)
    rendered = press.renderer.edition(edition)
    marked = replace(rendered, subject=f"[Test] {rendered.subject}")
    because = "it is a test copy, and its links open nothing"
    reader = _reader(press, tokens, to, subscriber=0, issue=number, because=because)
    key = f"test-{number}-{secrets.token_hex(6)}"
    return Mould(marked, sender(press.config), number).address(reader, key=key, date=press.clocks.now())


def _for_most(session: Session, issue: Issue) -> Edition:
    """All of an issue; a round-up has no pieces of its own: the edition that most of its readers get."""
    if issue.pieces:
        return Edition(issue, issue.pieces)
    readers, numbers = (
        deliveries.readers_of_editions(session, issue.number),
        deliveries.editions_of(session, issue.number),
    )
    chosen = numbers[max(readers, key=lambda key: readers[key])]
    return edition_of(issue, chosen, entries_of(session, issue, [chosen]))


def entries_of(session: Session, issue: Issue, editions: Iterable[tuple[int, ...]]) -> dict[int, IssuePiece]:
    """All pieces of an issue's editions by number: its own, and those that came out before."""
    own = {entry.piece.id: entry for entry in issue.pieces}
    others = {number for numbers in editions for number in numbers} - own.keys()
    return own | (issues.published(session, others) if others else {})


def edition_of(issue: Issue, numbers: tuple[int, ...], entries: Mapping[int, IssuePiece]) -> Edition:
    """The edition of an issue with the pieces of these numbers, all among ``entries``."""
    return Edition(issue, tuple(entries[number] for number in numbers))


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


def mould(press: Press, issue: Issue, edition: Edition) -> Mould:
    """An edition rendered, and what its readers share made once."""
    return Mould(press.renderer.edition(edition), sender(press.config), issue.number)


def address(press: Press, issue: Issue, made: Mould, claimed: Claimed) -> EditionMessage:
    """An edition addressed to the reader of a claimed delivery."""
    reader = _reader(
        press,
        press.tokens,
        claimed.address,
        subscriber=claimed.subscriber_id,
        issue=claimed.issue,
        because=press.renderer.because(claimed.follows, issue.kind),
        mailbox=press.config.delivery.mailbox,
    )
    return made.address(reader, key=claimed.key, date=press.clocks.now(), text_only=claimed.text_only)


def _reader(
    press: Press, tokens: Links, address: str, *, subscriber: int, issue: int, because: str, mailbox: str = ""
) -> Reader:
    """An address with the links of its subscriber, signed by ``tokens``; by mail too, where a ``mailbox`` is read."""
    base, way_out = press.config.web.base_url, tokens.sign(Purpose.UNSUBSCRIBE, subscriber, issue)
    return Reader(
        address=address,
        unsubscribe_url=f"{base}/u/{way_out}",
        unsubscribe_mail=messages.unsubscribe_mail(mailbox, way_out),
        preferences_url=f"{base}/p/{tokens.sign(Purpose.PREFERENCES, subscriber)}",
        because=because,
        feedback_url=f"{base}/f/{tokens.sign(Purpose.FEEDBACK, subscriber, issue)}",
    )
