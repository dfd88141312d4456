"""A list of people from a CSV file: streamed, so that its size does not matter, and safe to run again.

Each batch is a transaction. What is there already is left alone, so a run that was killed is completed by a
second one. Nobody who left, bounced, complained or was erased is revived, whatever the file says; a row whose
own state says that the person is not an active reader is refused too.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sqlalchemy import ColumnElement, bindparam, exists, func, insert, literal, literal_column, select
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers import people, preferences, suppression
from subscribers.addresses import Address, InvalidAddress, has_control_characters, parse
from subscribers.people import InvalidName, Outcome
from subscribers.ports import Sessions
from subscribers.preferences import EVERYTHING, Preferences, is_time_zone
from subscribers.spreadsheets import Record, Spreadsheet
from subscribers.suppression import Hasher
from subscribers.tables import Consent, Format, Frequency, Kind, State, Subscriber, Suppression

BATCH = 20_000
"""Lines of one transaction. Addresses come in no order, so each row changes a page of the index of its own; a
large batch in order writes most pages once for several rows. Nothing is locked while lines are read."""

_LOOKED_UP = 5000
_IMPORT: ColumnElement[str] = literal_column("'import'")

MOST_PROBLEMS = 100
"""Problems that the report itself keeps; ``on_problem`` gets them all."""

_MOST_REASONS = 200
_LONGEST_CONSENT = 1000
_SLACK = dt.timedelta(days=1)
_OLDEST, _NEWEST = 1990, 9000
# The empty one is ISO 8601. Month and day in other orders would be a guess.
_DATES = (
    "",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
)
_WITH_NAME = re.compile(r'"?([^"<>]*?)"?\s*<([^<>]+)>')
_SPACE = " \u00a0"
_LIKE_AN_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_NEUTRALISED = re.compile(r"'[=+\-@]")

_HEADINGS = {
    "address": "email mail address emailaddress mailaddress emailadresse mailadresse adresse subscriberemail",
    "name": "name fullname displayname",
    "first": "firstname givenname vorname",
    "last": "lastname surname familyname nachname",
    "topics": "topics topic follows",
    "frequency": "frequency",
    "format": "format",
    "time_zone": "timezone tz",
    "paused_until": "pauseduntil",
    "date": "date subscribedat subscribed createdat consentat consentdate optintime confirmtime joined",
    "consent": "consent consenttext",
    "network": "network ip ipaddress optinip",
    "state": "state status subscriptionstatus",
}
_WISHES = ("topics", "frequency", "format", "time_zone")
_FIELD_OF = {heading: name for name, headings in _HEADINGS.items() for heading in headings.split()}
_STILL_READERS = frozenset({"active", "subscribed", "confirmed", "enabled"})


class NotAList(ValueError):
    """The file as a whole is no list of addresses; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a line: why it was not taken, or, where it was ``taken``, what was left out."""

    line: int
    reason: str
    taken: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is."""

    lines: int
    bytes_read: int
    bytes_total: int


@dataclass(slots=True)
class Report:
    """What came of an import. Every line is counted once: ``lines`` is the sum of the six counts below it.

    ``noted`` are lines that were taken with something left out. ``reasons`` counts the reasons of all
    problems, ``problems`` are the first of them, ``notices`` are about the file as a whole.
    """

    lines: int = 0
    added: int = 0
    known: int = 0
    duplicates: int = 0
    left: int = 0
    barred: int = 0
    refused: int = 0
    noted: int = 0
    encoding: str = ""
    delimiter: str = ""
    notices: tuple[str, ...] = ()
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import is told.

    ``consent_text`` says what the people of the list agreed to, and goes into their records. ``topics`` are
    the names of the topics by their keys. ``active`` people are mailed from now on; otherwise each is pending
    and has to confirm. Raises ValueError without a ``consent_text``.
    """

    consent_text: str
    topics: Mapping[str, str] = field(default_factory=dict)
    active: bool = True

    def __post_init__(self) -> None:
        """Refuse a list that nobody agreed to be on."""
        if not self.consent_text.strip():
            raise ValueError("an import needs the words that its people agreed to")


def run(
    sessions: Sessions,
    path: Path,
    plan: Plan,
    *,
    now: dt.datetime,
    dry_run: bool = False,
    on_problem: Callable[[Problem], None] = lambda problem: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Take the people of a CSV file in, a few thousand lines to a transaction.

    A ``dry_run`` reports the same and writes nothing. ``on_problem`` is told every line that was not taken,
    or not whole. Raises NotAList, and OSError when the file cannot be read.
    """
    sheet = Spreadsheet(path)
    layout = _layout_of(sheet)
    report = Report(encoding=sheet.encoding, delimiter=sheet.delimiter, notices=layout.notices)
    work = _Import(plan, layout, now, report, on_problem)
    for batch in _batches(sheet, layout):
        candidates = work.read(batch)
        with sessions() as session:
            work.store(session, candidates, dry_run=dry_run)
            if not dry_run:
                session.commit()
        on_progress(Progress(report.lines, sheet.bytes_read, sheet.size))
    return report


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which column means what."""

    columns: Mapping[str, int]
    has_header: bool
    width: int
    notices: tuple[str, ...] = ()


def _layout_of(sheet: Spreadsheet) -> _Layout:
    """Find the columns by their headings, else by what stands in them. Raises NotAList."""
    if sheet.is_archive:
        raise NotAList("it is a zip archive, as spreadsheet programs save by default: save it as CSV")
    if not sheet.size:
        return _Layout({}, False, 0, ("the file is empty",))
    if not sheet.sample:
        raise NotAList("it begins with nothing that could be a row")
    first = sheet.sample[0]
    columns: dict[str, int] = {}
    for place, heading in enumerate(first):
        columns.setdefault(_field_of(heading), place)
    columns.pop("", None)
    if "address" in columns:
        unknown = [heading.strip()[:40] for heading in first if _field_of(heading) == "" and heading.strip()]
        notices = tuple(f"column {heading!r} is not known and not used" for heading in unknown)
        return _Layout(columns, True, len(first), notices)
    return _guessed(sheet.sample, columns)


def _field_of(heading: str) -> str:
    return _FIELD_OF.get(re.sub(r"[\W_]+", "", heading.casefold()), "")


def _guessed(sample: list[list[str]], columns: dict[str, int]) -> _Layout:
    """The columns of a file whose headings do not say where the addresses are. Raises NotAList."""
    first = sample[0]
    counts = Counter(place for row in sample for place, cell in enumerate(row) if _LIKE_AN_ADDRESS.search(cell))
    if not counts:
        raise NotAList("no column of it holds addresses (name it `email` if one does)")
    place = counts.most_common(1)[0][0]
    if any(_LIKE_AN_ADDRESS.search(cell) for cell in first):
        notice = f"there is no header: only the addresses in column {place + 1} are taken"
        return _Layout({"address": place}, False, len(first), (notice,))
    name = first[place].strip()[:40] if place < len(first) else ""
    notice = f"no heading is known for addresses: they are taken from column {place + 1} ({name!r})"
    return _Layout({**columns, "address": place}, True, len(first), (notice,))


def _batches(sheet: Spreadsheet, layout: _Layout) -> Iterator[list[Record]]:
    header_is_next = layout.has_header
    batch: list[Record] = []
    for record in sheet.records():
        if header_is_next and not record.trouble:
            header_is_next = False
            continue
        batch.append(record)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Refusal(ValueError):
    """A line that is not taken, and why."""


@dataclass(frozen=True, slots=True)
class _Wishes:
    """Preferences as columns, and what of them was left out."""

    columns: Mapping[str, str | dt.datetime | None]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A line that could be taken."""

    line: int
    address: Address
    name: str
    wishes: _Wishes
    paused_until: dt.datetime | None
    at: dt.datetime
    consent: str
    network: str | None
    notes: tuple[str, ...]


_Cells = dict[str, str]
"""The cells of a row by what their columns mean; a meaning without column is not in it."""


class _Import:
    """One run: what it is told, and its report so far."""

    def __init__(
        self,
        plan: Plan,
        layout: _Layout,
        now: dt.datetime,
        report: Report,
        on_problem: Callable[[Problem], None],
    ) -> None:
        self._plan, self._columns, self._width, self._now = plan, layout.columns, layout.width, now
        self._report, self._on_problem = report, on_problem
        self._known_topics = {name.casefold(): key for key, name in plan.topics.items()} | {
            key: key for key in plan.topics
        }
        self._wishes = lru_cache(maxsize=1000)(self._read_wishes)
        # Of each address in the file 64 bits: enough to tell a million apart, and small.
        self._seen: set[int] = set()

    def read(self, batch: list[Record]) -> list[_Candidate]:
        """The lines that could be taken; the others are reported."""
        candidates = []
        for record in batch:
            self._report.lines += 1
            try:
                candidates.append(self._candidate(record))
            except _Refusal as refusal:
                self._report.refused += 1
                self._tell(record.line, str(refusal))
        return candidates

    def store(self, session: Session, candidates: list[_Candidate], *, dry_run: bool) -> None:
        """Take in who is neither there nor barred nor gone."""
        hasher = suppression.find_hasher(session) if dry_run else suppression.hasher(session)
        fresh = self._first_of_each(candidates, hasher or Hasher("nothing is suppressed here"))
        states, kinds = _known(session, fresh)
        rows = {
            key: candidate
            for key, candidate in fresh.items()
            if self._is_new(candidate, kinds.get(key, frozenset()), states.get(key))
        }
        if rows and not dry_run:
            self._insert(session, rows)

    def _first_of_each(self, candidates: list[_Candidate], hasher: Hasher) -> dict[str, _Candidate]:
        fresh: dict[str, _Candidate] = {}
        for candidate in candidates:
            key = hasher(candidate.address.identity)
            mark = int(key[:16], 16)
            if mark in self._seen:
                self._report.duplicates += 1
                self._tell(candidate.line, "the address stands on an earlier line too")
                continue
            self._seen.add(mark)
            fresh[key] = candidate
        return fresh

    def _is_new(self, candidate: _Candidate, kinds: frozenset[Kind], state: State | None) -> bool:
        outcome = people.outcome_of(kinds, state)
        match outcome:
            case Outcome.KNOWN:
                self._report.known += 1
            case Outcome.LEFT:
                self._report.left += 1
                self._tell(candidate.line, "this person left: only their own confirmation brings them back")
            case Outcome.BARRED:
                self._report.barred += 1
                self._tell(candidate.line, f"the owner has to lift this first: {', '.join(sorted(kinds))}")
            case Outcome.ADDED:
                self._report.added += 1
                self._report.noted += bool(candidate.notes)
                for note in candidate.notes:
                    self._tell(candidate.line, note, taken=True)
        return outcome is Outcome.ADDED

    def _insert(self, session: Session, rows: Mapping[str, _Candidate]) -> None:
        in_order = sorted(rows.items(), key=lambda item: item[1].address.identity)
        state = State.ACTIVE if self._plan.active else State.PENDING
        # What all rows share stands in the statement: each value of a row costs.
        insert_people = suppression.insert_missing(session, suppression.table_of(Subscriber)).values(
            state=literal_column(f"'{state.value}'"), state_reason=_IMPORT
        )
        before = session.scalar(select(func.max(col(Subscriber.id)))) or 0
        session.execute(insert_people, [self._row(key, row) for key, row in in_order])
        self._insert_consents(session, [row for _, row in in_order], before)

    def _insert_consents(self, session: Session, candidates: list[_Candidate], before: int) -> None:
        """Record what each agreed to: row by row where a row says something of its own, the others at once.

        ``before`` is the highest id there was: the candidates' rows come after it, and have no consent yet.
        """
        table, id_, identity = suppression.table_of(Consent), col(Subscriber.id), col(Subscriber.identity)
        if own := [_consent(candidate) for candidate in candidates if self._has_own_consent(candidate)]:
            id_of = select(id_).where(identity == bindparam("identity")).scalar_subquery()
            session.execute(insert(table).values(subscriber_id=id_of, how=_IMPORT), own)
        at = func.coalesce(col(Subscriber.confirmed_at), col(Subscriber.created_at))
        text = literal(self._plan.consent_text)
        others = select(id_, at, text, col(Subscriber.address), _IMPORT).where(
            id_ > before,
            col(Subscriber.created_at) == self._now,
            col(Subscriber.state_reason) == _IMPORT,
            ~exists(literal(1)).where(col(Consent.subscriber_id) == id_).correlate(Subscriber),
        )
        names = ["subscriber_id", "at", "text", "address", "how"]
        session.execute(insert(table).from_select(names, others))

    def _has_own_consent(self, candidate: _Candidate) -> bool:
        at = candidate.at if self._plan.active else self._now
        return (candidate.at, candidate.consent, candidate.network) != (at, self._plan.consent_text, None)

    def _row(self, key: str, candidate: _Candidate) -> dict[str, object]:
        return {
            **candidate.wishes.columns,
            "paused_until": candidate.paused_until,
            "identity": candidate.address.identity,
            "identity_hash": key,
            "address": candidate.address.address,
            "name": candidate.name,
            "created_at": self._now,
            "confirmed_at": candidate.at if self._plan.active else None,
        }

    def _tell(self, line: int, reason: str, *, taken: bool = False) -> None:
        problem = Problem(line, reason, taken)
        reasons = self._report.reasons
        reasons[reason if reason in reasons or len(reasons) < _MOST_REASONS else "other reasons"] += 1
        if len(self._report.problems) < MOST_PROBLEMS:
            self._report.problems.append(problem)
        self._on_problem(problem)

    def _candidate(self, record: Record) -> _Candidate:
        """A row as a person. Raises _Refusal."""
        if record.trouble:
            raise _Refusal(record.trouble)
        row = _cells_of(record.cells, self._columns)
        address, name_beside = _address_of(row.get("address", ""))
        if "state" in self._columns and row.get("state", "").casefold() not in _STILL_READERS:
            raise _Refusal("its own state does not say that this is an active reader")
        notes: list[str] = []
        if len(record.cells) > self._width and any(map(str.strip, record.cells[self._width :])):
            notes.append("it has more cells than the header: what is beyond was not used")
        wishes = self._wishes(*(row.get(name, "") for name in _WISHES))
        at, consent = self._consent_of(row, notes)
        return _Candidate(
            record.line,
            address,
            _name_of(row, name_beside, notes),
            wishes,
            _pause_of(row),
            at,
            consent,
            _network_of(row, notes),
            (*notes, *wishes.notes),
        )

    def _consent_of(self, row: _Cells, notes: list[str]) -> tuple[dt.datetime, str]:
        """When the person agreed, and to what. Raises _Refusal for a moment that is still to come."""
        text, words, date = self._plan.consent_text, row.get("consent", ""), row.get("date", "")
        if words:
            text = f"{text}\n{_printable(words)}"
        if not date:
            return self._now, text
        at = _moment(date)
        if at is None:
            notes.append("its date cannot be read: it is kept as text beside the consent")
            return self._now, f"{text}\nDate in the file: {_printable(date)}"
        if at > self._now + _SLACK:
            raise _Refusal("its date lies in the future")
        return min(at, self._now), text

    def _read_wishes(self, topics: str, frequency: str, format_: str, time_zone: str) -> _Wishes:
        """What a row asks for. Raises _Refusal when it asks for topics of which none exists."""
        notes: list[str] = []
        if not is_time_zone(time_zone):
            notes.append("its time zone is not known: the newsletter's is taken")
            time_zone = ""
        wish = Preferences(
            topics=self._topics_of(topics, notes),
            frequency=Frequency(_word(frequency, Frequency, "every", "frequency", notes)),
            format=Format(_word(format_, Format, "html", "format", notes)),
            time_zone=time_zone,
        )
        return _Wishes(preferences.columns(wish), tuple(notes))

    def _topics_of(self, cell: str, notes: list[str]) -> frozenset[str] | None:
        """The topics of a cell such as ``safety; Theory and methods``; an empty one is everything."""
        asked = {part.strip().casefold() for part in re.split(r"[;,|]", cell)} - {""}
        if not asked or asked & {EVERYTHING, "all", "everything"}:
            return None
        if asked == {"none"}:
            return frozenset()
        found = frozenset(self._known_topics[part] for part in asked if part in self._known_topics)
        if not found:
            raise _Refusal("none of its topics exists here")
        if asked - self._known_topics.keys():
            notes.append("a topic of it does not exist here: the others are taken")
        return found


def _cells_of(cells: list[str], columns: Mapping[str, int]) -> dict[str, str]:
    """The cells by what their columns mean; one that is not there is empty.

    Space around them goes, and the quote that an export put before a formula.
    """
    found = {name: cells[place].strip(_SPACE) if place < len(cells) else "" for name, place in columns.items()}
    for name, cell in found.items():
        if cell.startswith("'") and _NEUTRALISED.match(cell):
            found[name] = cell[1:]
    return found


def _known(
    session: Session, candidates: Mapping[str, _Candidate]
) -> tuple[dict[str, State], dict[str, frozenset[Kind]]]:
    """The states of those who are there, and the suppressions, by the candidates' hashes."""
    states: dict[str, State] = {}
    kinds: dict[str, frozenset[Kind]] = {}
    keys = list(candidates)
    anyone_is_suppressed = session.scalar(select(col(Suppression.kind)).limit(1)) is not None
    query = select(col(Subscriber.identity_hash), col(Subscriber.state))
    for start in range(0, len(keys), _LOOKED_UP):
        some = keys[start : start + _LOOKED_UP]
        identities = [candidates[key].address.identity for key in some]
        rows = session.execute(query.where(col(Subscriber.identity).in_(identities)))
        states |= {key: State(state) for key, state in rows}
        if anyone_is_suppressed:
            kinds |= suppression.kinds_of_many(session, some)
    return states, kinds


def _consent(candidate: _Candidate) -> dict[str, object]:
    return {
        "identity": candidate.address.identity,
        "at": candidate.at,
        "text": candidate.consent,
        "address": candidate.address.address,
        "network": candidate.network,
    }


def _address_of(cell: str) -> tuple[Address, str]:
    """The address of a cell, and the name beside it in ``Ann <ann@example.com>``. Raises _Refusal."""
    if not cell:
        raise _Refusal("there is no address in it")
    name = ""
    if cell.endswith(">") and (beside := _WITH_NAME.fullmatch(cell)):
        name, cell = beside[1], beside[2]
    try:
        return parse(cell), name
    except InvalidAddress as error:
        if cell.count("@") > 1 and re.search(r"[\s,;]", cell):
            raise _Refusal("there are several addresses in one cell") from error
        raise _Refusal(f"no valid address: {error}") from error


def _name_of(row: _Cells, beside: str, notes: list[str]) -> str:
    parts = (row.get("first", ""), row.get("last", ""))
    name = row.get("name", "") or " ".join(filter(None, parts)) or beside
    try:
        return people.clean_name(name)
    except InvalidName as error:
        notes.append(f"its name was left out: {error}")
        return ""


def _pause_of(row: _Cells) -> dt.datetime | None:
    cell = row.get("paused_until", "")
    until = _moment(cell) if cell else None
    if cell and until is None:
        raise _Refusal("the end of its pause cannot be read")
    return until


def _network_of(row: _Cells, notes: list[str]) -> str | None:
    cell = row.get("network", "")
    if not cell:
        return None
    try:
        return str(ipaddress.ip_address(cell))
    except ValueError:
        notes.append("its network address cannot be read and was left out")
        return None


def _word(cell: str, words: type[Frequency] | type[Format], default: str, what: str, notes: list[str]) -> str:
    word = cell.casefold() or default
    if word in list(words):
        return word
    notes.append(f"its {what} is not known: {default!r} is taken")
    return default


def _moment(text: str) -> dt.datetime | None:
    """A date or a moment, in UTC where it names no zone; None when it cannot be read without guessing."""
    for pattern in _DATES:
        try:
            moment = dt.datetime.strptime(text, pattern) if pattern else dt.datetime.fromisoformat(text)
        except ValueError:
            continue
        if not _OLDEST <= moment.year <= _NEWEST:
            return None
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return None


def _printable(text: str) -> str:
    return "".join(" " if has_control_characters(char) else char for char in text[:_LONGEST_CONSENT])
