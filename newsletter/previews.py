"""What would go out, shown before it does: a report over a read-only session, and a page to look at.

The messages shown are made by the same functions as those that are sent, for a real reader of each edition, with one
difference: the tokens in the links are placeholders, so that nobody unsubscribes a reader by looking at the preview.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

import subscribers
from newsletter import costs, deliveries, editions, grounding, issues, messages, pipeline, sections
from newsletter.config import Config
from newsletter.costs import Cost
from newsletter.deliveries import Claimed
from newsletter.issues import DRAFT
from newsletter.pipeline import Press
from newsletter.problems import Misused
from newsletter.rendering import MOST_HTML_BYTES
from newsletter.store.tables import AudienceGroupRow
from newsletter.values import Edition, Issue, IssuePiece, Message, SummaryKind
from newsletter.writers import source_hash
from subscribers import Format, Frequency, Purpose, TokenError, Trouble

LEFT_OUT = "left out: "
"""How a summary's note begins that tells of a claim that failed a check."""
TEXT_COLUMNS = 72
SAMPLE_ADDRESS = "reader@example.com"
"""Shown for an edition that nobody gets, so that an owner without subscribers sees the mail too."""


class NoSuchReader(Misused):
    """The reader whose mail is asked for gets none; the text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold before an issue goes out."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class EditionPreview:
    """One edition as one of its readers gets it.

    ``shortened`` are the numbers of the pieces that had to be made shorter to keep the mail small. ``seen_by`` is the
    address of the reader whom the owner named, else empty.
    """

    name: str
    readers: int
    follows: tuple[str, ...]
    subject: str
    preheader: str
    minutes: int
    piece_ids: tuple[int, ...]
    html: str
    text: str
    message: bytes
    headers: tuple[tuple[str, str], ...]
    shortened: tuple[int, ...] = ()
    seen_by: str = ""

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the HTML, the text, and the whole message."""
        return {"html": len(self.html.encode()), "text": len(self.text.encode()), "message": len(self.message)}


@dataclass(frozen=True, slots=True)
class Grounded:
    """How far a summary is borne out by its piece.

    ``claims`` sentences with ``quotes`` of the piece were checked, ``removed`` and ``events`` are what was left out or
    happened on the way; ``failures`` (there should be none) and ``warnings`` are what the checks say of what is left.
    ``words_read`` of ``words_total`` words of the text that we have were read.
    """

    claims: int
    quotes: int
    removed: tuple[str, ...]
    events: tuple[str, ...]
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    words_read: int
    words_total: int
    writer: str


@dataclass(frozen=True, slots=True)
class Preview:
    """An issue as it would go out now. ``audience`` counts every subscriber: who gets it, and who does not and why."""

    issue: Issue
    selection: dict[str, Any]
    audience: dict[str, int]
    editions: tuple[EditionPreview, ...]
    skipped: dict[str, int]
    checks: tuple[Check, ...]
    grounded: tuple[Grounded, ...]
    cost: Cost


class Placeholders:
    """Signs nothing: stands where the token of a link will stand, in the same length."""

    def sign(self, purpose: Purpose, *values: int | str, now: dt.datetime | None = None) -> str:
        """A text that no page accepts."""
        return f"preview-{purpose.value}".ljust(32, "-")

    def read(self, purpose: Purpose, token: str, *, now: dt.datetime | None = None) -> tuple[int | str, ...]:
        """Nothing: a preview's links open nothing. Raises TokenError."""
        raise TokenError(Trouble.FORGED)


@dataclass(frozen=True, slots=True)
class _Group:
    """Readers who get one edition. ``number`` is the edition's in the ledger, 0 in a draft."""

    edition: Edition
    follows: tuple[str, ...]
    readers: int
    number: int = 0


def prepare(press: Press, session: Session, number: int, seen_by: str = "") -> Preview:
    """Make the preview of an issue. Reads only.

    ``seen_by`` is the address of a reader whose own mail comes first. Raises IssueError when there is no issue of that
    number, and NoSuchReader when that reader gets none.
    """
    issue = issues.load(session, number)
    groups, skipped = _groups(press, session, issue)
    shown = replace(press, tokens=Placeholders())
    own = (_own_edition(shown, session, issue, groups, seen_by),) if seen_by else ()
    made = own + tuple(
        _edition(shown, session, issue, group, name) for group, name in zip(groups, _names(), strict=False)
    )
    row = issues.row_of(session, number)
    return Preview(
        issue=issue,
        selection=row.selection,
        audience=subscribers.audience_counts(session, press.clocks.now(), Frequency(issue.kind)),
        editions=made,
        skipped=skipped,
        checks=tuple(checks(press, issue, made)),
        grounded=tuple(grounded(entry, press.config) for entry in issue.pieces),
        cost=costs.of_issue(session, number),
    )


def grounded(entry: IssuePiece, config: Config) -> Grounded:
    """Check a piece's summary again, as it will be published, and tell what was left out of it before."""
    summary = entry.summary
    claims = [claim for section in summary.sections for block in section.blocks for claim in block]
    specs = sections.load(key for key in config.writing.sections if key in sections.names())
    report = grounding.check(summary, entry.piece, specs, language=config.newsletter.language)
    is_digest = summary.kind == SummaryKind.DIGEST
    events = [note for note in summary.notes if not note.startswith(LEFT_OUT)]
    if summary.source_hash and summary.source_hash != source_hash(entry.piece):
        events.append("the piece's text has changed since this was written")
    removed = [note.removeprefix(LEFT_OUT) for note in summary.notes if note.startswith(LEFT_OUT)]
    return Grounded(
        claims=len(claims),
        quotes=sum(len(claim.quotes) for claim in claims),
        removed=tuple(removed),
        events=tuple(events),
        # Excerpts are the author's own sentences: the checks are made for sentences of ours.
        failures=tuple(map(str, report.failures)) if is_digest else (),
        warnings=tuple(map(str, report.warnings)) if is_digest else (),
        words_read=summary.words_read,
        words_total=summary.words_total,
        writer=" ".join(filter(None, (summary.writer, summary.model))),
    )


def copies(press: Press, session: Session, number: int) -> list[Message]:
    """A message of each edition of an issue, as its first reader would get it; the reader's own links open nothing."""
    issue = issues.load(session, number)
    groups, _ = _groups(press, session, issue)
    shown = replace(press, tokens=Placeholders())
    return [
        pipeline.address(
            shown, issue, pipeline.mould(shown, issue, group.edition), _reader(session, press, issue, group)
        )
        for group in groups
    ]


def _names() -> list[str]:
    """A, B, ... Z, AA, AB, ..."""
    letters = string.ascii_uppercase
    return [*letters, *(one + other for one in letters for other in letters)]


def _groups(press: Press, session: Session, issue: Issue) -> tuple[list[_Group], dict[str, int]]:
    """The editions with their readers, the one with most readers first; and how many readers get none, by reason."""
    found, skipped = _drafted(press, session, issue) if issue.state == DRAFT else _frozen(session, issue)
    if not found:
        found["all"] = _Group(Edition(issue, issue.pieces), (), 0)
    return sorted(
        found.values(), key=lambda group: (-group.readers, -len(group.edition.pieces), group.edition.key)
    ), skipped


def _drafted(press: Press, session: Session, issue: Issue) -> tuple[dict[str, _Group], dict[str, int]]:
    """What a freeze would write now. (Who is behind since they changed to every issue gets more than is shown.)"""
    counted: dict[str, int] = {}
    for audience in subscribers.groups(session, press.clocks.now()):
        counted[audience.follows] = counted.get(audience.follows, 0) + audience.readers
    found: dict[str, _Group] = {}
    skipped: dict[str, int] = {}
    for follows, given in pipeline.assignments(press, session, issue).items():
        readers = counted.get(follows, 0)
        if given.edition is None:
            skipped[given.reason] = skipped.get(given.reason, 0) + readers
            continue
        before = found.get(given.edition.key, _Group(given.edition, (), 0))
        found[given.edition.key] = _Group(given.edition, (*before.follows, follows), before.readers + readers)
    return found, skipped


def _frozen(session: Session, issue: Issue) -> tuple[dict[str, _Group], dict[str, int]]:
    """What the ledger holds."""
    numbers = deliveries.editions_of(session, issue.number)
    entries = pipeline.entries_of(session, issue, numbers.values())
    readers = deliveries.readers_of_editions(session, issue.number)
    who: dict[int, list[str]] = {}
    for row in session.exec(select(AudienceGroupRow).where(AudienceGroupRow.issue_id == issue.number)):
        who.setdefault(row.edition_id or 0, []).append(row.follows.partition(" ")[0])
    found = {
        str(key): _Group(
            pipeline.edition_of(issue, pieces, entries),
            tuple(dict.fromkeys(who.get(key, ()))),
            readers.get(key, 0),
            key,
        )
        for key, pieces in numbers.items()
    }
    return found, deliveries.skips(session, issue.number)


def _own_edition(
    press: Press, session: Session, issue: Issue, groups: Sequence[_Group], address: str
) -> EditionPreview:
    """The edition that one reader gets, or got, addressed to them."""
    try:
        who = subscribers.find(session, address)
    except subscribers.InvalidAddress as error:
        raise NoSuchReader(f"{address} is no mail address: {error}") from error
    if who is None:
        raise NoSuchReader(f"{address} is nobody's here; `newsletter subscribers list` shows who is")
    if issue.state == DRAFT:
        group = _drafted_group(press, session, issue, groups, who)
    else:
        edition = deliveries.edition_of_reader(session, issue.number, who.id or 0)
        group = next((group for group in groups if group.number == edition), None)
    if group is None:
        raise NoSuchReader(f"{address} gets nothing of issue {issue.number}: no piece of it fits their topics")
    return replace(_edition(press, session, issue, group, "own", _claimed(issue, who)), seen_by=who.address)


def _drafted_group(
    press: Press, session: Session, issue: Issue, groups: Sequence[_Group], who: subscribers.Subscriber
) -> _Group | None:
    now, person = press.clocks.now(), subscribers.Subscriber
    query = select(person.id).where(person.id == who.id, subscribers.in_audience(now, Frequency(issue.kind)))
    if session.exec(query).first() is None:
        state = subscribers.state_at(who, now).value
        raise NoSuchReader(
            f"{who.address} is not among the readers of every issue ({state}); see `newsletter subscribers show`"
        )
    return next((group for group in groups if who.follows in group.follows), None)


def _edition(
    press: Press, session: Session, issue: Issue, group: _Group, name: str, who: Claimed | None = None
) -> EditionPreview:
    mould = pipeline.mould(press, issue, group.edition)
    reader = who or _reader(session, press, issue, group)
    message = pipeline.address(press, issue, mould, reader)
    with_html = pipeline.address(press, issue, mould, replace(reader, text_only=False))
    names = {topic.key: topic.name for topic in press.config.topics}
    return EditionPreview(
        name=name,
        readers=group.readers,
        follows=tuple(editions.describe(subscribers.topics_of(text), names) for text in group.follows),
        subject=mould.rendered.subject,
        preheader=mould.rendered.preheader,
        minutes=group.edition.minutes,
        piece_ids=tuple(entry.piece.id for entry in group.edition.pieces),
        html=with_html.html,
        text=message.text,
        message=messages.to_bytes(message),
        headers=message.headers,
        shortened=mould.rendered.shortened,
    )


def _reader(session: Session, press: Press, issue: Issue, group: _Group) -> Claimed:
    """The first reader of a group, or a sample where nobody is in it."""
    person = subscribers.Subscriber
    query = (
        select(person)
        .where(
            col(person.follows).in_(group.follows),
            subscribers.in_audience(press.clocks.now(), Frequency(issue.kind)),
        )
        .order_by(col(person.id))
    )
    who = session.exec(query).first()
    if who is None:
        return Claimed(0, issue.number, 0, 0, SAMPLE_ADDRESS, "", False, None)
    return _claimed(issue, who)


def _claimed(issue: Issue, who: subscribers.Subscriber) -> Claimed:
    text_only = who.format == Format.TEXT
    return Claimed(
        0, issue.number, who.id or 0, 0, who.address, who.name, text_only, subscribers.topics_of(who.follows)
    )


def checks(press: Press, issue: Issue, made: Sequence[EditionPreview]) -> list[Check]:
    """What must hold of every edition, each with the figure that was seen."""
    html = max((edition.sizes["html"] for edition in made), default=0)
    widest = max((_widest(edition.text) for edition in made), default=0)
    remote = sorted({found for edition in made for found in _remote(edition.html)})
    longest = max((len(line) for edition in made for line in edition.message.split(b"\r\n")), default=0)
    unlinked = [
        e.name for e in made if not all(p.piece.url in e.text for p in issue.pieces if p.piece.id in e.piece_ids)
    ]
    return [
        Check(
            "HTML size", html <= MOST_HTML_BYTES, f"largest {html:,} of {MOST_HTML_BYTES:,} bytes{_shortenings(made)}"
        ),
        Check("text width", widest <= TEXT_COLUMNS, f"widest line {widest} of {TEXT_COLUMNS} columns"),
        Check("external requests", not remote, ", ".join(remote) or "none"),
        Check("line length", longest <= 998, f"longest line {longest} of 998 bytes"),
        Check(
            "links in the text part", not unlinked, f"missing in {', '.join(unlinked)}" if unlinked else "all pieces"
        ),
        _sender_check(press),
    ]


def _shortenings(made: Sequence[EditionPreview]) -> str:
    """Which pieces of which editions had to be shortened, as the end of a sentence."""
    told = [f"{one.name} (pieces {', '.join(map(str, one.shortened))})" for one in made if one.shortened]
    return f"; shortened to fit, with a link to the rest: edition {', '.join(told)}" if told else ""


def _sender_check(press: Press) -> Check:
    delivery, base = press.config.delivery, press.config.web.base_url
    lacking = [
        what
        for what, missing in (
            ("web.base_url is not https", not base.startswith("https://")),
            ("web.base_url is an example", "example." in base),
            ("delivery.postal_address is empty", not delivery.postal_address),
            ("delivery.from_address is an example", "@example." in delivery.from_address),
        )
        if missing
    ]
    # Files leave nobody's machine: what real mail needs is said, and stops nothing.
    detail = "; ".join(lacking) or "complete"
    return Check("sender", not lacking or delivery.provider == "files", detail)


def _widest(text: str) -> int:
    """The widest line that holds more than a URL."""
    return max((len(line) for line in text.splitlines() if not re.fullmatch(r"\s*<?https?://\S+>?", line)), default=0)


def _remote(html: str) -> list[str]:
    """What a mail client would load by itself: sources, stylesheets, urls in CSS."""
    found = _Loading()
    found.feed(html)
    found.close()
    return found.urls


class _Loading(HTMLParser):
    """Collects what a mail loads. Words of a piece about HTML or CSS are text, and load nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        for name, value in attrs:
            if name in ("src", "srcset", "background") or (tag, name) == ("link", "href"):
                self._add(value or "")
            elif name == "style":
                self._read_style(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self._read_style(data)

    def _read_style(self, style: str) -> None:
        for url in re.findall(r"""url\(\s*["']?([^)"']+)""", style):
            self._add(url)

    def _add(self, url: str) -> None:
        if url.strip() and not url.strip().lower().startswith("data:"):
            self.urls.append(url)


def report(preview: Preview) -> dict[str, Any]:
    """The preview as plain JSON values: `report.json`, and what `--json` prints."""
    first = preview.editions[0]
    return {
        "issue": preview.issue.number,
        "state": preview.issue.state,
        "title": preview.issue.title,
        "subject": first.subject,
        "preheader": first.preheader,
        "minutes": preview.issue.minutes,
        "pieces": [
            {**_piece_json(preview.issue, position), "grounding": asdict(grounded)}
            for position, grounded in enumerate(preview.grounded)
        ],
        "left_out": preview.selection["left_out"],
        "audience": preview.audience,
        "skipped": preview.skipped,
        "editions": [
            {
                "name": edition.name,
                "readers": edition.readers,
                "follows": list(edition.follows),
                "pieces": list(edition.piece_ids),
                "subject": edition.subject,
                "minutes": edition.minutes,
                "bytes": edition.sizes,
                "shortened": list(edition.shortened),
            }
            for edition in preview.editions
        ],
        "headers": [list(header) for header in first.headers],
        "checks": [asdict(check) for check in preview.checks],
        "cost_usd": round(preview.cost.usd, 4),
        "cost": preview.cost.as_json(),
    }


def _piece_json(issue: Issue, position: int) -> dict[str, Any]:
    entry = issue.pieces[position]
    return {
        "position": position + 1,
        "piece": entry.piece.id,
        "title": entry.piece.title,
        "source": entry.piece.source.name,
        "authors": list(entry.piece.authors),
        "url": entry.piece.url,
        "published": entry.piece.published.isoformat() if entry.piece.published else None,
        "text": entry.piece.origin.value,
        "words": entry.piece.words,
        "kind": entry.summary.kind.value,
        "minutes": entry.summary.minutes,
        "topics": list(entry.topics),
        "score": entry.score,
        "why": entry.why,
        "notes": list(entry.summary.notes),
    }


def page(press: Press, preview: Preview, live: str = "") -> str:
    """The page. With ``live``, the path of an address that answers with another text once there is something new, it
    looks there every second and loads itself anew."""
    return press.renderer.page("preview.html", preview=preview, report=report(preview), live=live)


def files(preview: Preview) -> dict[str, bytes]:
    """What lies beside the page, by name: `.html .txt .eml` of each edition and `report.json`."""
    made: dict[str, bytes] = {}
    for edition in preview.editions:
        name = f"edition-{edition.name.lower()}"
        made[f"{name}.html"] = edition.html.encode()
        made[f"{name}.txt"] = edition.text.encode()
        made[f"{name}.eml"] = edition.message
    made["report.json"] = (json.dumps(report(preview), indent=2, ensure_ascii=False) + "\n").encode()
    return made


def write(press: Press, preview: Preview, folder: Path) -> Path:
    """Write the page and the files beside it. Returns the page's path."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files(preview).items():
        (folder / name).write_bytes(content)
    file = folder / "index.html"
    file.write_text(page(press, preview), encoding="utf-8", newline="")
    return file
