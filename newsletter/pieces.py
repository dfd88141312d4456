"""Every piece once: its identity, its near-duplicates, and when it was first seen.

The same piece comes again and again: in the same feed tomorrow, with another tracking parameter, from a second
forum that carries the same post, as version 2. Whatever names it is stored as a link to one row.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from sqlalchemy import update
from sqlmodel import Session, col, select

from newsletter.store.tables import PieceLinkRow, PieceRow, PublicationRow
from newsletter.values import Piece, Source, TextOrigin

SKETCH_SIZE = 200
"""Hashes kept of a text: enough to tell a likeness to about 0.04 (bottom-k sketch)."""
SHINGLE_WORDS = 5
ALIKE = 0.6
"""Share of common shingles from which two texts are one piece; a translated or rewritten text stays below."""
ENOUGH = 40
"""Shingles from which two texts can be told to be one; a text of so many has about 45 words."""
TELLING = SKETCH_SIZE - math.ceil(ALIKE * SKETCH_SIZE) + 1
"""So many of the smallest hashes of two texts that are alike have one in common: fewer differ, of `SKETCH_SIZE`."""
COMMON = 50
"""Texts in which a hash stands that tells nothing: boilerplate, which a text does not have from its twin."""
LOOK_BACK = dt.timedelta(days=120)
"""How far back near-duplicates are looked for; known addresses are known for ever."""

_FORUM_HOSTS = frozenset({"alignmentforum.org", "lesswrong.com", "forum.effectivealtruism.org", "greaterwrong.com"})
_FORUM_POST = re.compile(r"^/(?:posts|s/[^/]+/p|events)/([A-Za-z0-9]{17})(?:/|$)")
_ARXIV = re.compile(
    r"(?:arxiv\.org/(?:abs|pdf|html|format)/|oai:arxiv\.org:|10\.48550/arxiv\.)(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})",
    re.IGNORECASE,
)
_WWW = re.compile(r"^(?:www\.)+")
_BEGINNING = re.compile(r"([a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
"""Of an address that is not canonical: `//` alone may stand in its path, too."""
_TRACKING = re.compile(
    r"^(utm_\w+|mc_[ce]id|fbclid|gclid|dclid|msclkid|yclid|igshid|twclid|ck_subscriber_id|_hs\w+|mkt_tok|oly_\w+_id|vero_\w+"
    r"|ref|ref_src|referrer|source|src|cmpid|campaign|share|si|at_\w+|guccounter|amp)$",
    re.IGNORECASE,
)
_ROMAN = re.compile(r"^(?=[ivx])(x{0,3})(ix|iv|v?i{0,3})$")
_COUNTED = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8"}


def canonical_url(url: str) -> str:
    """The address without what does not change the page: scheme, `www.`, default port, fragment, tracking, end slash.

    Two spellings of one address give the same text, and the canonical form of a canonical form is itself.
    """
    # Such a text still names its piece as it stands.
    parts = _parts(url.strip() if _BEGINNING.match(url.strip()) else f"//{url.strip()}")
    if parts is None:
        return url.strip()
    host, port = _WWW.sub("", parts.hostname or ""), parts.port
    place = host if port in (None, 80, 443) else f"{host}:{port}"
    pairs = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.match(key)]
    query = f"?{urlencode(sorted(pairs))}" if pairs else ""
    return f"{place}{parts.path.rstrip('/')}{query}"


def identities(piece: Piece) -> tuple[str, ...]:
    """All that names this piece, most telling first.

    The Alignment Forum, LessWrong and the EA Forum share their 17-character post ids; arXiv's id is taken without its
    version. A guid counts only together with its host: many feeds number from 1.
    """
    found = []
    if post := _forum_post(piece):
        found.append(f"lw:{post}")
    if paper := _ARXIV.search(piece.url) or _ARXIV.search(piece.guid):
        found.append(f"arxiv:{paper.group(1).lower()}")
    if piece.url:
        found.append(f"url:{canonical_url(piece.url)}")
    if piece.guid:
        found.append(
            f"guid:{_host(piece.source.url)} {canonical_url(piece.guid) if '://' in piece.guid else piece.guid}"
        )
    return tuple(dict.fromkeys(found))


def identified(pieces: Sequence[Piece]) -> list[tuple[Piece, tuple[str, ...]]]:
    """The pieces of one reading, each with its identities.

    An identity that several entries of one reading share tells nothing (feeds exist that link every entry to their
    front page, or give all the same guid), unless it is all that they have: then they are one piece.
    """
    named = [(piece, identities(piece)) for piece in pieces]
    shared = Counter(identity for _, names in named for identity in names)
    result = []
    for piece, names in named:
        own = tuple(n for n in names if shared[n] == 1 or n.startswith(("lw:", "arxiv:"))) or names
        result.append((replace(piece, identity=own[0] if own else f"title:{piece.source.key} {piece.title}"), own))
    return result


def _forum_post(piece: Piece) -> str:
    for address in (piece.url, piece.guid):
        parts = _parts(address) if "://" in address else None
        host = _WWW.sub("", parts.hostname or "") if parts else ""
        if parts and host in _FORUM_HOSTS and (found := _FORUM_POST.match(parts.path)):
            return found.group(1)
    return ""


def _host(url: str) -> str:
    parts = _parts(url)
    return _WWW.sub("", ((parts.netloc if parts else "") or url).lower())


def _parts(url: str) -> SplitResult | None:
    """The parts of an address; None when it is none: urlsplit raises on a broken IPv6 host, and when asked for a port
    that is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def sketch(text: str) -> tuple[int, ...]:
    """The smallest hashes of a text's word shingles: a fixed-size likeness of it (bottom-k sketch, Broder 1997)."""
    words = re.findall(r"\w+", text.casefold())
    shingles = (
        {" ".join(words[i : i + SHINGLE_WORDS]) for i in range(max(1, len(words) - SHINGLE_WORDS + 1))}
        if words
        else set()
    )
    hashes = (int.from_bytes(hashlib.blake2b(s.encode(), digest_size=6).digest()) for s in shingles)
    return tuple(sorted(hashes)[:SKETCH_SIZE])


def likeness(one: Sequence[int], other: Sequence[int]) -> float:
    """The share of shingles that two texts have in common, estimated from their sketches: 0 to 1."""
    if not one or not other:
        return 0.0
    smallest = sorted({*one, *other})[:SKETCH_SIZE]
    both = set(one) & set(other)
    return sum(1 for value in smallest if value in both) / len(smallest)


def title_key(title: str) -> str:
    """A title as its words alone, so that case, punctuation and quotes make no difference."""
    return " ".join(re.findall(r"\w+", title.casefold()))


def ordinals(title: str) -> tuple[str, ...]:
    """The numbers in a title, however written: what tells "Part I" from "Part II" and "2024" from "2025"."""
    found = []
    for word in re.findall(r"[a-z]+|\d+", title.casefold()):
        if word.isdigit():
            found.append(str(int(word)))
        elif word in _COUNTED:
            found.append(_COUNTED[word])
        elif word != "i" and _ROMAN.match(word):
            found.append(str(_from_roman(word)))
    if re.search(r"\bpart\s+i\b", title, re.IGNORECASE):
        found.append("1")
    return tuple(found)


def _from_roman(word: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10}[char] for char in word]
    return sum(-v if any(v < w for w in values[i + 1 :]) else v for i, v in enumerate(values))


def same_piece(one: Piece, other: Piece, one_sketch: Sequence[int], other_sketch: Sequence[int]) -> bool:
    """Whether two pieces with different identities are one: nearly the same text, or the same title
    and an author in common.

    Titles that count differently are never one piece. A teaser is too short to tell by: some sources give all their
    pieces the same one.
    """
    if ordinals(one.title) != ordinals(other.title):
        return False
    if min(len(one_sketch), len(other_sketch)) >= ENOUGH and likeness(one_sketch, other_sketch) >= ALIKE:
        return True
    key = title_key(one.title)
    if len(key.split()) < 4 or key != title_key(other.title):
        return False
    surnames = {name.split()[-1].casefold() for name in one.authors if name.split()}
    return any(name.split()[-1].casefold() in surnames for name in other.authors if name.split())


class _Twins:
    """Finds the first of many pieces that is the same as a new one, comparing it with few of them.

    To compare with each would take a minute when a publisher brings 500 new pieces a day for a week.
    """

    def __init__(self, known: Iterable[tuple[Piece, Sequence[int]]]) -> None:
        self._pieces: list[tuple[Piece, Sequence[int]]] = []
        self._by_hash: defaultdict[int, list[int]] = defaultdict(list)
        self._by_title: defaultdict[str, list[int]] = defaultdict(list)
        for piece, its in known:
            self.add(piece, its)

    def add(self, piece: Piece, its: Sequence[int]) -> None:
        """Let this piece, with its sketch, be found."""
        place = len(self._pieces)
        self._pieces.append((piece, its))
        self._by_title[title_key(piece.title)].append(place)
        for value in its[:TELLING]:
            self._by_hash[value].append(place)

    def of(self, piece: Piece, its: Sequence[int]) -> Piece | None:
        """The piece that this one is the same as; None when there is none."""
        found = (self._pieces[place] for place in sorted(self._near(piece, its)))
        return next((other for other, others in found if same_piece(piece, other, its, others)), None)

    def _near(self, piece: Piece, its: Sequence[int]) -> set[int]:
        near = set(self._by_title.get(title_key(piece.title), [])[:COMMON])
        for value in its[:TELLING]:
            places = self._by_hash.get(value, [])
            if len(places) <= COMMON:
                near.update(places)
        return near


@dataclass(slots=True)
class Stored:
    """What storing one reading did: new pieces, those that merged with a known one, and how many were known."""

    new: list[Piece] = field(default_factory=list)
    merged: list[tuple[Piece, Piece]] = field(default_factory=list)
    known: int = 0


def known(session: Session, names: Iterable[str]) -> dict[str, int]:
    """Which of these identities name a stored piece, and which."""
    wanted = list(dict.fromkeys(names))
    found: dict[str, int] = {}
    for start in range(0, len(wanted), 500):
        rows = session.exec(
            select(PieceLinkRow.identity, PieceLinkRow.piece_id).where(
                col(PieceLinkRow.identity).in_(wanted[start : start + 500])
            )
        )
        found.update(rows.all())
    return found


def store(session: Session, reading: Sequence[tuple[Piece, tuple[str, ...]]], now: dt.datetime) -> Stored:
    """Store the pieces of one reading (see `identified`) that are not known yet.

    A near-duplicate of a stored piece becomes a further link of that piece. A known piece stays as it was first seen:
    a new title is not a new piece.
    """
    result = Stored()
    sketches = [sketch(piece.text) for piece, _ in reading]
    twins = _Twins(_recent(session, now, [piece.title for piece, _ in reading], sketches) if reading else ())
    for (piece, names), own in zip(reading, sketches, strict=True):
        owners = known(session, names)
        if owners:
            _link(session, next(iter(owners.values())), piece, names, now)
            result.known += 1
            continue
        twin = twins.of(piece, own)
        if twin is not None:
            _link(session, twin.id, piece, names, now)
            _complete(session, twin, piece, own)
            result.merged.append((piece, twin))
            continue
        stored = _insert(session, piece, own, now)
        _link(session, stored.id, piece, names, now)
        twins.add(stored, own)
        result.new.append(stored)
    return result


def _insert(session: Session, piece: Piece, own: Sequence[int], now: dt.datetime) -> Piece:
    row = PieceRow(
        identity=piece.identity,
        source_key=piece.source.key,
        source_name=piece.source.name,
        title=piece.title,
        url=piece.url,
        guid=piece.guid,
        authors=list(piece.authors),
        categories=list(piece.categories),
        published=piece.published,
        first_seen=now,
        text=piece.text,
        origin=piece.origin.value,
        note=piece.note,
        page_tries=1 if piece.note else 0,
        sketch=list(own),
    )
    session.add(row)
    session.flush()
    return to_piece(row)


def _link(session: Session, piece_id: int, piece: Piece, names: Sequence[str], now: dt.datetime) -> None:
    have = known(session, names or (piece.identity,))
    for name in names or (piece.identity,):
        if name not in have:
            session.add(
                PieceLinkRow(
                    identity=name,
                    piece_id=piece_id,
                    url=piece.url,
                    title=piece.title,
                    source_key=piece.source.key,
                    source_name=piece.source.name,
                    seen_at=now,
                )
            )
    session.flush()


def _complete(session: Session, twin: Piece, piece: Piece, own: Sequence[int]) -> None:
    """Give a stored fragment the whole text that another source has of the same piece."""
    if twin.is_full_text or not piece.is_full_text:
        return
    set_text(session, twin.id, piece, own)


def set_text(session: Session, piece_id: int, piece: Piece, own: Sequence[int] | None = None) -> None:
    """Replace the text of a stored piece by the text of `piece`, and count the try."""
    session.exec(
        update(PieceRow)
        .where(col(PieceRow.id) == piece_id)
        .values(
            text=piece.text,
            origin=piece.origin.value,
            note=piece.note,
            sketch=list(own if own is not None else sketch(piece.text)),
            page_tries=PieceRow.page_tries + 1,
        )
    )


def _recent(
    session: Session, now: dt.datetime, titles: Iterable[str], sketches: Iterable[Sequence[int]]
) -> Iterator[tuple[Piece, Sequence[int]]]:
    """The pieces of the last months, with their sketches, that may be one of those with these titles and sketches."""
    keys = {title_key(title) for title in titles}
    hashes = {value for its in sketches for value in its[:TELLING]}
    rows = session.exec(
        select(PieceRow.id, PieceRow.title, PieceRow.sketch)
        .where(col(PieceRow.first_seen) >= now - LOOK_BACK)
        .order_by(col(PieceRow.id))
    ).yield_per(1_000)
    near = {
        number or 0: its
        for number, title, its in rows
        if not hashes.isdisjoint(its[:TELLING]) or title_key(title) in keys
    }
    yield from ((piece, near[number]) for number, piece in by_ids(session, near).items())


def unread_pages(session: Session, now: dt.datetime, tries: int = 3, days: int = 3) -> list[Piece]:
    """Pieces first seen before now, in the last days, whose page could not be had and may be tried again."""
    rows = session.exec(
        select(PieceRow)
        .where(PieceRow.note != "", PieceRow.page_tries < tries, PieceRow.origin == TextOrigin.DESCRIPTION.value)
        .where(col(PieceRow.first_seen) >= now - dt.timedelta(days=days), col(PieceRow.first_seen) < now)
        .order_by(col(PieceRow.id))
    )
    return [to_piece(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored piece that no issue has published, when it was first seen, and the other places that carry it."""

    piece: Piece
    first_seen: dt.datetime
    also_in: tuple[str, ...] = ()


def candidates(session: Session, now: dt.datetime, max_age_days: int) -> list[Candidate]:
    """Pieces first seen within the age limit that no issue has published, oldest first.

    First seen, and not published, since a piece may reach us late with an older date (triage looks at that date).
    """
    rows = session.exec(
        select(PieceRow)
        .where(col(PieceRow.first_seen) >= now - dt.timedelta(days=max_age_days), col(PieceRow.first_seen) <= now)
        .where(~select(PublicationRow).where(PublicationRow.piece_id == PieceRow.id).exists())
        .order_by(col(PieceRow.id))
    ).all()
    others = _other_sources(session, [row.id or 0 for row in rows])
    return [
        Candidate(to_piece(row), row.first_seen, tuple(n for n in others.get(row.id or 0, ()) if n != row.source_name))
        for row in rows
    ]


def _other_sources(session: Session, piece_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    found: dict[int, dict[str, None]] = {}
    for start in range(0, len(piece_ids), 500):
        rows = session.exec(
            select(PieceLinkRow.piece_id, PieceLinkRow.source_name).where(
                col(PieceLinkRow.piece_id).in_(piece_ids[start : start + 500])
            )
        )
        for piece_id, name in rows:
            found.setdefault(piece_id, {})[name] = None
    return {piece_id: tuple(names) for piece_id, names in found.items()}


def by_ids(session: Session, numbers: Iterable[int]) -> dict[int, Piece]:
    """Stored pieces by their numbers, the lowest first."""
    wanted = sorted(set(numbers))
    found: dict[int, Piece] = {}
    for start in range(0, len(wanted), 500):
        rows = session.exec(select(PieceRow).where(col(PieceRow.id).in_(wanted[start : start + 500])))
        found.update((row.id or 0, to_piece(row)) for row in rows)
    return {number: found[number] for number in wanted if number in found}


def to_piece(row: PieceRow) -> Piece:
    """The value of a row."""
    return Piece(
        title=row.title,
        url=row.url,
        source=Source(row.source_key, row.source_name, row.source_key),
        guid=row.guid,
        authors=tuple(row.authors),
        published=row.published,
        categories=tuple(row.categories),
        text=row.text,
        origin=TextOrigin(row.origin),
        note=row.note,
        identity=row.identity,
        id=row.id or 0,
    )
