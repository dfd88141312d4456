"""Ask every source what is new, complete each new piece to its whole text, and store it.

Sources are read side by side, stored in the configured order: so the same answers always give the same database.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from newsletter import fulltext, pieces, sources
from newsletter.config import FetchingConfig
from newsletter.fetching import Door, Fetched, FetchError
from newsletter.pieces import Stored
from newsletter.sandbox import Sandbox, SandboxError
from newsletter.sources import Entry, NotAFeed, Reading
from newsletter.store import Store
from newsletter.store.tables import SourceStateRow
from newsletter.values import FULL_TEXT_WORDS, Piece, Source, TextOrigin, count_words

READ, UNCHANGED, WAITING, GONE, FAILED = "read", "unchanged", "waiting", "gone", "failed"
SHOWN_FAILURES = 3
"""Failures in a row from which a source is shown to the owner at every command that reads sources."""
MOST_PAGES = 40
"""Pages asked of one source in one run; what is left comes with the next one."""
FEED_TYPES = "application/atom+xml, application/rss+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.5"

Named = tuple[Piece, tuple[str, ...]]
"""A piece with its identities."""


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of one source. ``status`` is one of the module's constants; ``problem`` is one line for the owner."""

    source: Source
    status: str
    entries: int = 0
    new: tuple[Piece, ...] = ()
    merged: tuple[tuple[Piece, Piece], ...] = ()
    known: int = 0
    problem: str = ""
    failures: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Intake:
    """Reads sources through the one door, parses in the sandbox, stores in the database."""

    store: Store
    door: Door
    sandbox: Sandbox
    limits: FetchingConfig
    max_age_days: int

    def fetch(
        self,
        wanted: Sequence[Source],
        now: dt.datetime,
        *,
        fresh_minutes: int = 0,
        heard: Callable[[SourceReport], None] = lambda report: None,
    ) -> list[SourceReport]:
        """Read each source. One that was asked less than ``fresh_minutes`` ago is left alone.

        ``heard`` gets each report as it is known, in the order of ``wanted``.
        """
        reports = []
        with ThreadPoolExecutor(self.limits.concurrency) as pool:
            for answer in [pool.submit(self._read, source, now, fresh_minutes) for source in wanted]:
                report = self._store(answer.result(), now)
                heard(report)
                reports.append(report)
        self._retry_pages(wanted, now)
        return reports

    def _read(self, source: Source, now: dt.datetime, fresh_minutes: int) -> _Answer:
        """All that needs no write: ask, parse, complete what is new. Runs in a thread of its own."""
        with self.store.read() as session:
            state = session.get(SourceStateRow, source.key) or SourceStateRow(key=source.key)
        if state.is_gone:
            return _Answer(
                source, state, GONE, problem="answered 410 Gone; `newsletter sources list` shows it, remove it"
            )
        if state.retry_at and state.retry_at > now:
            return _Answer(
                source, state, WAITING, problem=f"asked us to wait until {state.retry_at:%Y-%m-%d %H:%M} UTC"
            )
        if state.read_at and fresh_minutes and now - state.read_at < dt.timedelta(minutes=fresh_minutes):
            return _Answer(source, state, UNCHANGED)
        try:
            return self._ask(source, state, now)
        except FetchError as error:
            return _Answer(source, state, FAILED, problem=str(error), error=error)
        except (NotAFeed, SandboxError) as error:
            return _Answer(source, state, FAILED, problem=str(error))

    def _ask(self, source: Source, state: SourceStateRow, now: dt.datetime) -> _Answer:
        fetched = self.door.get(
            source.url,
            max_bytes=self.limits.max_feed_bytes,
            etag=state.etag,
            last_modified=state.last_modified,
            accept=FEED_TYPES,
        )
        body_hash = hashlib.sha256(fetched.body).hexdigest()
        if fetched.not_modified or body_hash == state.body_hash:
            return _Answer(source, state, UNCHANGED, fetched=fetched)
        reading = sources.read(source, fetched.body, fetched.content_type, self.sandbox.call, fetched.url)
        fresh, known = self._unknown(reading)
        completed, left = [], MOST_PAGES
        for entry, (piece, names) in fresh:
            whole, asked = self._complete(piece, entry, now, left)
            left -= asked
            completed.append((whole, names))
        return _Answer(source, state, READ, fetched, body_hash, reading, completed, known)

    def _unknown(self, reading: Reading) -> tuple[list[tuple[Entry, Named]], list[Named]]:
        """The entries of a reading that are not stored, and the named pieces that are."""
        named = pieces.identified([_piece_of(entry) for entry in reading.entries])
        with self.store.read() as session:
            have = pieces.known(session, (name for _, names in named for name in names))
        fresh, known = [], []
        for entry, (piece, names) in zip(reading.entries, named, strict=True):
            if any(name in have for name in names):
                known.append((piece, names))
            else:
                fresh.append((entry, (piece, names)))
        return fresh, known

    def _complete(self, piece: Piece, entry: Entry, now: dt.datetime, pages_left: int) -> tuple[Piece, int]:
        """The piece with its text, and whether its page was asked for (0 or 1).

        An abstract is a text of its own kind and its page is never asked for. A feed's text counts as whole when it
        has 250 words and is not cut off.
        """
        if entry.is_abstract:
            text = fulltext.abstract(entry.summary or entry.content)
            return replace(piece, text=text, origin=TextOrigin.ABSTRACT), 0
        body = entry.content or entry.summary
        text = str(self.sandbox.call("newsletter.fulltext:feed_text", body.encode("utf-8", "replace"))) if body else ""
        if count_words(text) >= FULL_TEXT_WORDS and not fulltext.is_cut_off(body):
            return replace(piece, text=text, origin=TextOrigin.FEED), 0
        described = replace(piece, text=text, origin=TextOrigin.DESCRIPTION)
        too_old = piece.published is not None and now - piece.published > dt.timedelta(days=self.max_age_days)
        if too_old or not piece.url:
            return described, 0
        if pages_left <= 0:
            return replace(described, note="its page was not asked for yet: this source has many new pieces"), 0
        return self._with_page(described), 1

    def _with_page(self, piece: Piece) -> Piece:
        """The piece with the text of its page, or with a note of why not."""
        try:
            fetched = self.door.get(piece.url, max_bytes=self.limits.max_page_bytes, accept="text/html, */*;q=0.5")
            text = str(self.sandbox.call("newsletter.fulltext:extract", fetched.body, charset=fetched.charset))
        except (FetchError, SandboxError) as error:
            return replace(piece, note=f"page: {error}")
        words = count_words(text)
        if words < max(FULL_TEXT_WORDS, piece.words):
            return replace(piece, note=f"page: only {words} words of text were found on it")
        return replace(piece, text=text, origin=TextOrigin.PAGE, note="")

    def _store(self, answer: _Answer, now: dt.datetime) -> SourceReport:
        with self.store.write() as session:
            stored = pieces.store(session, answer.pieces, now) if answer.status == READ else Stored()
            state = session.merge(_next_state(answer, now))
            session.flush()
        return SourceReport(
            source=answer.source,
            status=answer.status,
            entries=len(answer.reading.entries) if answer.reading else 0,
            new=tuple(stored.new),
            merged=tuple(stored.merged),
            known=stored.known + len(answer.known),
            problem=answer.problem,
            failures=state.failures,
            notes=answer.notes,
        )

    def _retry_pages(self, wanted: Sequence[Source], now: dt.datetime) -> None:
        """Ask again for pages that could not be had in the last days, of sources that are still configured."""
        keys = {source.key for source in wanted}
        with self.store.read() as session:
            again = [p for p in pieces.unread_pages(session, now) if p.source.key in keys][:MOST_PAGES]
        for piece in again:
            whole = self._with_page(piece)
            with self.store.write() as session:
                pieces.set_text(session, piece.id, whole)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What reading one source gave, before anything of it is stored."""

    source: Source
    state: SourceStateRow
    status: str
    fetched: Fetched | None = None
    body_hash: str = ""
    reading: Reading | None = None
    pieces: list[Named] = field(default_factory=list)
    known: list[Named] = field(default_factory=list)
    problem: str = ""
    error: FetchError | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the owner may want to know of single entries."""
        skipped = self.reading.skipped if self.reading else ()
        return (*skipped, *(f"{piece.title}: {piece.note}" for piece, _ in self.pieces if piece.note))


def _piece_of(entry: Entry) -> Piece:
    """The piece of an entry, still without its text. Titles and names are cleaned here: they reach the mail."""
    return Piece(
        title=fulltext.clean_line(entry.title) or "Untitled",
        url=entry.url,
        source=entry.source,
        guid=entry.guid,
        authors=tuple(name for name in map(fulltext.clean_line, entry.authors) if name),
        published=entry.published,
        categories=tuple(fulltext.clean_line(category) for category in entry.categories),
    )


def _next_state(answer: _Answer, now: dt.datetime) -> SourceStateRow:
    """What is remembered of a source after this answer."""
    state = SourceStateRow(**answer.state.model_dump())
    if answer.status in (GONE, WAITING) or (answer.status == UNCHANGED and answer.fetched is None):
        return state
    state.asked_at = now
    if answer.status == FAILED:
        state.failures, state.last_error = state.failures + 1, answer.problem
        if answer.error is not None:
            state.is_gone = answer.error.permanent
            after = answer.error.retry_after
            state.retry_at = now + dt.timedelta(seconds=after) if after else None
        return state
    state.read_at, state.failures, state.last_error, state.retry_at = now, 0, "", None
    if answer.fetched is not None:
        state.etag = answer.fetched.etag or state.etag
        state.last_modified = answer.fetched.last_modified or state.last_modified
    if answer.status == READ:
        state.body_hash = answer.body_hash
        state.etag = answer.fetched.etag if answer.fetched else ""
        state.last_modified = answer.fetched.last_modified if answer.fetched else ""
    return state
