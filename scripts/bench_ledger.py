"""How much the ledger costs beside plain SQLite: freezing, and claiming and marking, for many readers.

Both sides write the same rows, with the same indexes, in the same chunks and transactions, as durably; ours also asks
who may still be mailed. The two take turns, and the median of the ratios counts. Memory is that of a process of its
own that freezes and sends to all readers and, for comparison, of one that does so for a tenth of them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newsletter import deliveries, sending
from newsletter.deliveries import Claimed, Clocks, Handed
from newsletter.editions import Assignment
from newsletter.providers import Accepted, Outcome
from newsletter.sending import Rules
from newsletter.store import Store, open_store
from newsletter.store.tables import IssueRow
from newsletter.values import Edition, Issue, Message
from subscribers import Frequency

MOST_FREEZE, MOST_CLAIM, MOST_MEGABYTES, MOST_GROWTH = 4.0, 2.0, 150.0, 1.15
CHUNK = 1000
DAY = dt.datetime(2026, 5, 29, 7, 0, tzinfo=dt.UTC)
TEXT_DAY = "2026-05-29 07:00:00.000000"
CLOCKS = Clocks(now=lambda: DAY, real=lambda: dt.datetime.now(dt.UTC))
TOPICS = ("*", "evaluations", "safety", "evaluations,safety")


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A provider that takes everything and does nothing with it."""

    name: str = "nowhere"
    batch: int = CHUNK
    repeats_safely: bool = False

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Accept each message, with one reference for the call, as SendGrid does."""
        for message in messages:
            yield Accepted(message.key, "0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took: seconds by the clock and of the processor."""

    wall: float
    cpu: float


def main() -> int:
    """Measure, print, and end with 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--readers", type=int, default=1_000_000, help="how many readers (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return _child(arguments.child)
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as name:
        found = measure(Path(name), arguments.readers, arguments.rounds)
    print(json.dumps(found, indent=2) if arguments.json else _table(found))
    return 0 if all(row["ok"] for row in found) else 1


def measure(folder: Path, readers: int, rounds: int) -> list[dict[str, Any]]:
    """Every measure as a row: what, the figures of both sides, their ratio or the megabytes, and the target."""
    template, tenth = folder / "all.sqlite3", folder / "tenth.sqlite3"
    _people(template, readers)
    _people(tenth, max(1, readers // 10))
    freezes, claims = list[tuple[Spent, Spent]](), list[tuple[Spent, Spent]]()
    for _ in range(rounds):
        plain, ours = folder / "plain.sqlite3", folder / "ours.sqlite3"
        shutil.copy(template, plain)
        shutil.copy(template, ours)
        freezes.append((_timed(_plain_freeze, plain), _timed(_freeze, ours)))
        claims.append(_race(_plain_claim_and_mark(plain), _claim_and_mark(ours)))
        for path in (*folder.glob("plain.*"), *folder.glob("ours.*")):
            path.unlink()
    small, large = _peak(tenth), _peak(template)
    return [
        _row("freeze", freezes, MOST_FREEZE, readers),
        _row("claim and mark", claims, MOST_CLAIM, readers),
        {
            "what": "peak memory in MB",
            "readers": readers,
            "a tenth of them": round(small, 1),
            "all": round(large, 1),
            "most": MOST_MEGABYTES,
            "ok": large < MOST_MEGABYTES and large < MOST_GROWTH * small,
        },
    ]


def _row(what: str, rounds: list[tuple[Spent, Spent]], most: float, readers: int) -> dict[str, Any]:
    ratio = statistics.median(ours.wall / plain.wall for plain, ours in rounds)
    plain, ours = (statistics.median(spent.cpu for spent in side) for side in zip(*rounds, strict=True))
    return {
        "what": what,
        "readers": readers,
        "CPU seconds per 1,000": {"plain": round(1000 * plain / readers, 5), "ours": round(1000 * ours / readers, 5)},
        "ratio": round(ratio, 2),
        "ratios": [round(ours.wall / plain.wall, 2) for plain, ours in rounds],
        "seconds": [[round(plain.wall, 2), round(ours.wall, 2)] for plain, ours in rounds],
        "most": most,
        "ok": ratio <= most,
    }


def _table(found: list[dict[str, Any]]) -> str:
    lines = []
    for row in found:
        figures = "; ".join(f"{key}: {value}" for key, value in row.items() if key not in ("what", "ok"))
        lines.append(f"{'ok    ' if row['ok'] else 'MISSED'} {row['what']}: {figures}")
    return "\n".join(lines)


def _timed(work: Callable[[Path], None], file: Path) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    work(file)
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _race(plain: Iterator[None], ours: Iterator[None]) -> tuple[Spent, Spent]:
    """What both sides took, chunk by chunk in turn: whatever else the machine does slows both down."""
    sides, spent = (plain, ours), [Spent(0, 0), Spent(0, 0)]
    running = [True, True]
    while any(running):
        for side in (0, 1):
            wall, cpu = time.perf_counter(), time.process_time()
            running[side] = running[side] and next(sides[side], _END) is not _END
            took = Spent(time.perf_counter() - wall, time.process_time() - cpu)
            spent[side] = Spent(spent[side].wall + took.wall, spent[side].cpu + took.cpu)
    return spent[0], spent[1]


_END = object()


def _people(file: Path, readers: int) -> None:
    """A database of so many readers, who follow four kinds of things, and an issue without an audience."""
    store = open_store(f"sqlite:///{file}")
    with store.write() as session:
        session.add(IssueRow(date=DAY.date(), title="x", state="frozen", input_hash="", created_at=DAY, selection={}))
    store.close()
    with closing(sqlite3.connect(file)) as database:
        database.executemany(
            "INSERT INTO subscriber (identity, identity_hash, address, name, state, state_reason, created_at, follows, "
            "frequency, format, time_zone) VALUES (?, ?, ?, '', 'active', 'bench', ?, ?, 'every', 'html', '')",
            (
                (f"reader{n}@example.com", f"{n:032x}", f"reader{n}@example.com", TEXT_DAY, TOPICS[n % len(TOPICS)])
                for n in range(readers)
            ),
        )
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _freeze(file: Path) -> None:
    store = open_store(f"sqlite:///{file}")
    issue = Issue(1, DAY.date(), "x", ())
    groups = {follows: Assignment(Edition(issue, ())) for follows in TOPICS}
    with store.write() as session:
        deliveries.plan(session, 1, groups, frequency=Frequency.EVERY, due_at=DAY, now=DAY)
    store.close()


def _compose(claimed: Claimed) -> Message:
    return Message(claimed.key, claimed.address, (), "")


def _send(file: Path) -> None:
    store = open_store(f"sqlite:///{file}")
    sending.send(store, 1, Nowhere(), _compose, CLOCKS, rules=Rules(CHUNK))
    _expect_accepted(store)
    store.close()


def _claim_and_mark(file: Path) -> Iterator[None]:
    """What `sending.send` asks of the database, in its transactions, with a provider that takes no time."""
    store, owner, handed = open_store(f"sqlite:///{file}"), deliveries.owner(), list[Handed]()
    while True:
        with store.write() as session:
            claimed = deliveries.claim(session, 1, owner, CHUNK, DAY, CLOCKS.real())
        with store.write() as session:
            deliveries.mark(session, deliveries.state_of(session, 1), handed, owner, CLOCKS)
            leaving = deliveries.mark_handing(session, [one.id for one in claimed], owner, "nowhere", CLOCKS)
            deliveries.count_hand_over(session)
        handed = [Handed(row, tries, _TAKEN) for row, tries in leaving.items()]
        if not claimed:
            break
        yield
    _expect_accepted(store)
    store.close()


_TAKEN = Accepted("", "0123456789abcdef")


def _expect_accepted(store: Store) -> None:
    with store.read() as session:
        counts = deliveries.counts(session, 1)
    if set(counts) != {deliveries.ACCEPTED}:
        raise RuntimeError(f"not everybody was sent to: {counts}")


def _connect(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        database.execute(f"PRAGMA {pragma}")
    return database


def _plain_freeze(file: Path) -> None:
    with closing(_connect(file)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO edition (id, issue_id, key, piece_ids) VALUES (1, 1, '', '[]')")
        database.execute(
            "INSERT INTO delivery (issue_id, subscriber_id, edition_id, state, reason, due_at, try_at, attempts, "
            "claimed_by, provider, provider_ref, changed_at) "
            "SELECT 1, id, 1, 'planned', '', ?, ?, 0, '', '', '', ? FROM subscriber",
            (TEXT_DAY, TEXT_DAY, TEXT_DAY),
        )
        database.execute("COMMIT")


def _plain_claim_and_mark(file: Path) -> Iterator[None]:
    """The same by the plain driver."""
    owner, handed = "machine/1/1/abcdefgh", list[int]()
    with closing(_connect(file)) as database:
        while True:
            database.execute("BEGIN IMMEDIATE")
            rows = database.execute(
                "SELECT delivery.id, subscriber_id, edition_id, address, name, format, follows FROM delivery "
                "JOIN subscriber ON subscriber.id = subscriber_id WHERE issue_id = 1 AND delivery.state = 'planned' "
                "AND try_at <= ? ORDER BY try_at, delivery.id LIMIT ?",
                (TEXT_DAY, CHUNK),
            ).fetchall()
            claim = "UPDATE delivery SET state = 'claimed', claimed_by = ?, claimed_at = ? WHERE id = ?"
            database.executemany(claim, [(owner, TEXT_DAY, row[0]) for row in rows])
            database.execute("COMMIT")
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "UPDATE delivery SET state = 'accepted', claimed_by = '', changed_at = ?, provider_ref = ?, "
                "reason = '' WHERE id = ?",
                [(TEXT_DAY, "0123456789abcdef", number) for number in handed],
            )
            handing = (
                "UPDATE delivery SET state = 'handing', provider = 'nowhere', attempts = attempts + 1, claimed_at = ? "
                "WHERE id = ?"
            )
            database.executemany(handing, [(TEXT_DAY, row[0]) for row in rows])
            database.execute("COMMIT")
            handed = [row[0] for row in rows]
            if not rows:
                return
            yield


def _peak(file: Path) -> float:
    """Most megabytes that a process of its own held, which froze and sent."""
    command = [sys.executable, __file__, "--child", str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _child(file: Path) -> int:
    _freeze(file)
    _send(file)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * (1024 if sys.platform == "darwin" else 1)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
