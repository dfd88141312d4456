"""How fast an issue leaves with the ledger, beside a sender that does nothing else: both on loopback, taking turns.

SMTP: our provider against Postfix's own `smtp-source`, each into Postfix's `smtp-sink`, which takes mail and throws it
away, with as many connections and messages as large. `smtp-source` repeats one message and keeps no record; ours
addresses each message to its reader, with signed links, and records each hand-over durably. `smtp-source` speaks no
TLS, so with TLS ours alone goes through a process that decrypts.

SendGrid: our payloads against the same ones by the package's own helper objects, and the ledger against the same
messages without it, each to a process on loopback that accepts them. Counted is the CPU time of ours, not its.

The median of the ratios of all rounds counts.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import gc
import http.server
import json
import multiprocessing
import os
import resource
import select
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import sendgrid as sendgrid_package
from sendgrid.helpers import mail as helpers

import subscribers
from newsletter import deliveries, pipeline, sending
from newsletter.config import Config
from newsletter.deliveries import Claimed, Clocks
from newsletter.editions import Assignment
from newsletter.messages import EditionMessage, Mould, to_bytes
from newsletter.pipeline import Press
from newsletter.providers import Accepted, Provider
from newsletter.providers.sendgrid import MOST_READERS, SendGrid
from newsletter.providers.smtp import Server, Smtp
from newsletter.rendering import Masthead, Renderer
from newsletter.store import Store, open_store
from newsletter.store.tables import IssueRow
from newsletter.values import (
    Claim,
    Edition,
    Issue,
    IssuePiece,
    Message,
    Piece,
    Section,
    SectionShape,
    Source,
    Summary,
    SummaryKind,
)
from subscribers import Frequency, Preferences, Tokens
from tests.newsletter.mailserver import certificate

DAY = dt.datetime(2026, 5, 29, 7, 0, tzinfo=dt.UTC)
CLOCKS = Clocks(now=lambda: DAY, real=lambda: dt.datetime.now(dt.UTC))
SIZE = 75_000
LEAST_SMTP, LEAST_SENDGRID, LEAST_LEDGER = 0.4, 3.0, 0.5
CALLS = 5
TAKES = 5
"""Each side of a round by SendGrid is taken so many times, in turn, and the least counts: what else a machine does can
make a tenth of a second's work only longer (the standard library's documentation of `timeit.repeat`)."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: readers of an issue, rounds, and connections at a time."""

    readers: int
    rounds: int
    connections: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took: seconds by the clock and of the processor."""

    wall: float
    cpu: float


class _Clock:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def spent(self) -> Spent:
        """What was taken since."""
        return Spent(time.perf_counter() - self._began, time.process_time() - self._cpu)


class Absent(Exception):
    """Something that a measure needs is not installed; the text says what."""


def main() -> int:
    """Measure, print, and end with 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--readers", type=int, default=1000, help="how many readers (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="connections at a time (default: %(default)s)")
    parser.add_argument("--only", choices=list(BENCHES), help="measure this alone")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    plan = Plan(arguments.readers, arguments.rounds, arguments.connections)
    rows = list[Row]()
    for name, bench in BENCHES.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="bench-delivery-") as folder:
                rows += _measured(name, bench, Path(folder), plan)
    print(json.dumps(rows, indent=2) if arguments.json else "\n".join(map(_line, rows)))
    return 0 if all(row["ok"] for row in rows) else 1


def _measured(name: str, bench: Bench, folder: Path, plan: Plan) -> list[Row]:
    try:
        return bench(folder, plan)
    except Absent as absent:
        return [{"what": name, "absent": str(absent), "ok": True}]


def _line(row: Row) -> str:
    if "absent" in row:
        return f"{row['what']}: not measured: {row['absent']}"
    figures = "; ".join(f"{key}: {value}" for key, value in row.items() if key not in ("what", "ok"))
    return f"{row['what']}: {'' if row['ok'] else 'TOO SLOW; '}{figures}"


# SMTP


def smtp(folder: Path, plan: Plan) -> list[Row]:
    """Ours with the ledger, plain and with TLS, beside `smtp-source`. Raises Absent without Postfix's programs."""
    missing = [name for name in ("smtp-source", "smtp-sink") if shutil.which(name) is None]
    if missing:
        raise Absent(f"{' and '.join(missing)} (Debian: postfix)")
    office = Office(folder, plan.readers)
    theirs, plain, secure = list[Spent](), list[Spent](), list[Spent]()
    with _sink() as port, _decrypting(folder, port) as (tls_port, trusted):
        at = Server("127.0.0.1", port, "none")
        at_tls = Server("127.0.0.1", tls_port, "tls", ca_file=trusted)
        for _ in range(plan.rounds):
            theirs.append(_smtp_source(port, plan))
            plain.append(office.send(Smtp(at, plan.connections)))
            secure.append(office.send(Smtp(at_tls, plan.connections)))
    office.close()
    return [
        _row("SMTP with the ledger, by smtp-source", theirs, plain, plan, LEAST_SMTP),
        _row("SMTP with the ledger over TLS, by smtp-source without TLS", theirs, secure, plan),
    ]


def _row(what: str, theirs: list[Spent], ours: list[Spent], plan: Plan, least: float = 0.0) -> Row:
    ratios = [one.wall / other.wall for one, other in zip(theirs, ours, strict=True)]
    found: Row = {"what": what, "readers": plan.readers, "connections": plan.connections}
    for name, spent in (("theirs", theirs), ("ours", ours)):
        found[f"{name}, messages a second"] = round(plan.readers / statistics.median(one.wall for one in spent))
        found[f"{name}, CPU seconds per 1,000"] = round(
            statistics.median(one.cpu for one in spent) / plan.readers * 1000, 3
        )
    ratio = statistics.median(ratios)
    aim = {"at least": least} if least else {}
    return {**found, "ratio": round(ratio, 2), **aim, "ratios": [round(r, 2) for r in ratios], "ok": ratio >= least}


def _smtp_source(port: int, plan: Plan) -> Spent:
    command = ["smtp-source", "-d", "-s", str(plan.connections), "-m", str(plan.readers), "-l", str(SIZE)]
    command += ["-f", "digest@example.com", "-t", "reader@example.com", f"127.0.0.1:{port}"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, timeout=300)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@contextmanager
def _sink() -> Iterator[int]:
    """`smtp-sink` on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    process = subprocess.Popen(["smtp-sink", *user, f"127.0.0.1:{port}", "1000"], cwd="/")
    try:
        _wait_until_open(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _decrypting(folder: Path, port: int) -> Iterator[tuple[int, Path]]:
    """A process that takes TLS and passes on to ``port`` what was in it: its port, and what to trust for it."""
    _, trusted = certificate(folder)
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    process = multiprocessing.get_context("fork").Process(target=_decrypt, args=(listener, folder, port), daemon=True)
    process.start()
    try:
        yield int(listener.getsockname()[1]), trusted
    finally:
        process.terminate()
        process.join(10)
        listener.close()


def _decrypt(listener: socket.socket, folder: Path, port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_pass_on, args=(connection, context, port), daemon=True).start()


def _pass_on(connection: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as plain:
        for end in (connection, plain):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(connection, server_side=True) as secure:
            while True:
                ready, _, _ = select.select([secure, plain], [], [])
                for source, target in ((secure, plain), (plain, secure)):
                    if source in ready and not _moved(source, target):
                        return


def _moved(source: socket.socket, target: socket.socket) -> bool:
    data = source.recv(65_536)
    while isinstance(source, ssl.SSLSocket) and source.pending():
        data += source.recv(65_536)
    target.sendall(data)
    return bool(data)


def _wait_until_open(port: int) -> None:
    ends = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)


# SendGrid


def sendgrid(folder: Path, plan: Plan) -> list[Row]:
    """Ours, the package's helper objects and ours without the ledger, in so many calls of a thousand as it takes."""
    office = Office(folder, plan.readers * CALLS)
    packaged, ours, bare, ledger = list[Spent](), list[Spent](), list[Spent](), list[Spent]()
    with _accepting(folder) as peer:
        provider = SendGrid("SG.bench", peer.url, list_id="digest.example.com")
        payloads = [json.loads(body) for body in peer.kept(lambda: office.hand_over(provider))]
        messages = [office.addressed(person) for person in office.people()]
        # What the measure itself holds shall cost nobody a look of the garbage collector.
        gc.collect()
        gc.freeze()
        for _ in range(plan.rounds):
            takes = list[tuple[Spent, ...]]()
            for _ in range(TAKES):
                theirs = _by_helpers(peer.url, payloads, messages)
                before = peer.requests
                takes.append((theirs, *office.hand_over(provider), office.send(provider)))
                sent = peer.requests - before
            for side, spent in zip((packaged, bare, ours, ledger), zip(*takes, strict=True), strict=True):
                side.append(min(spent, key=lambda one: one.cpu))
    office.close()
    most = -(-office.readers // provider.batch)
    rows = [
        _cpu_row("SendGrid, by the package's helper objects", packaged, ours, office.readers, LEAST_SENDGRID),
        _cpu_row("SendGrid with the ledger, by without", bare, ledger, office.readers, LEAST_LEDGER),
    ]
    return [*rows, {"what": "SendGrid's requests", "ours": sent // 2, "exactly": most, "ok": sent == 2 * most}]


def _cpu_row(what: str, theirs: list[Spent], ours: list[Spent], readers: int, least: float) -> Row:
    ratios = [one.cpu / other.cpu for one, other in zip(theirs, ours, strict=True)]
    found: Row = {"what": what, "readers": readers}
    for name, spent in (("theirs", theirs), ("ours", ours)):
        cpu = statistics.median(one.cpu for one in spent)
        found[f"{name}, readers a CPU second"] = round(readers / cpu)
        found[f"{name}, CPU seconds per 1,000"] = round(cpu / readers * 1000, 4)
    ratio = statistics.median(ratios)
    return {
        **found,
        "ratio": round(ratio, 2),
        "at least": least,
        "ratios": [round(r, 2) for r in ratios],
        "ok": ratio >= least,
    }


def _by_helpers(url: str, payloads: list[dict[str, Any]], messages: list[EditionMessage]) -> Spent:
    """Send what our payloads hold as the package's documentation shows it; the readers' values are worked out too."""
    client = sendgrid_package.SendGridAPIClient("SG.bench", host=url)
    clock = _Clock()
    for number, payload in enumerate(payloads):
        part = messages[number * MOST_READERS : (number + 1) * MOST_READERS]
        values = [message.mould.rendered.values(message.reader) for message in part]
        client.send(_helper_mail(payload))
        del values
    return clock.spent()


def _helper_mail(payload: dict[str, Any]) -> helpers.Mail:
    mail = helpers.Mail()
    mail.from_email = helpers.From(payload["from"]["email"], payload["from"].get("name"))
    mail.subject = helpers.Subject(payload["subject"])
    for content in payload["content"]:
        mail.add_content(helpers.Content(content["type"], content["value"]))
    for row in payload["personalizations"]:
        person = helpers.Personalization()
        person.add_to(helpers.To(row["to"][0]["email"]))
        for name, value in row["headers"].items():
            person.add_header(helpers.Header(name, value))
        for name, value in row["substitutions"].items():
            person.add_substitution(helpers.Substitution(name, value))
        for name, value in row["custom_args"].items():
            person.add_custom_arg(helpers.CustomArg(name, value))
        mail.add_personalization(person)
    return mail


class _Peer:
    """A process on loopback that accepts every request, and keeps those that are asked for."""

    def __init__(self, folder: Path, url: str, counter: Synchronized[int], keeps: Synchronized[int]) -> None:
        self.url, self._folder, self._counter, self._keeps = url, folder, counter, keeps

    @property
    def requests(self) -> int:
        """How many came."""
        return self._counter.value

    def kept(self, work: Callable[[], object]) -> list[bytes]:
        """The bodies of the requests that come of ``work``."""
        self._keeps.value = 1
        work()
        self._keeps.value = 0
        return [file.read_bytes() for file in sorted(self._folder.glob("request-*"))]


@contextmanager
def _accepting(folder: Path) -> Iterator[_Peer]:
    context = multiprocessing.get_context("fork")
    counter, keeps = context.Value("i", 0), context.Value("i", 0)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with counter.get_lock():
                counter.value += 1
            if keeps.value:
                (folder / f"request-{counter.value:06}").write_bytes(body)
            self.send_response(202)
            self.send_header("X-Message-Id", "0123456789abcdef")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    process = context.Process(target=server.serve_forever, daemon=True)
    process.start()
    # The package's client asks the environment for a proxy.
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield _Peer(folder, f"http://127.0.0.1:{server.server_port}", counter, keeps)
    finally:
        process.terminate()
        process.join(10)
        server.server_close()


# The issue and its readers


class Office:
    """A newsletter with so many readers, whose issue makes messages of about `SIZE` bytes."""

    def __init__(self, folder: Path, readers: int) -> None:
        config = Config()
        self.store = open_store(f"sqlite:///{folder / 'newsletter.sqlite3'}")
        renderer = Renderer(Masthead(config.newsletter.name, "https://newsletter.example.com"))
        self.press = Press(config, self.store, CLOCKS, renderer, Tokens(("k" * 40,)))
        self.issue = _large_issue(self.press)
        self.mould = pipeline.mould(self.press, self.issue, Edition(self.issue, self.issue.pieces))
        self.readers = readers
        _subscribe(self.store, readers)

    def hand_over(self, provider: Provider) -> tuple[Spent, Spent]:
        """Address and hand over a message to each reader, with nothing to remember it. Raises RuntimeError as `send`.

        Returns what that took, and what of it the provider did.
        """
        people, taken = self.people(), 0
        clock = _Clock()
        parts = list[Spent]()
        for start in range(0, self.readers, provider.batch):
            messages = [self.addressed(claimed) for claimed in people[start : start + provider.batch]]
            part = _Clock()
            taken += sum(isinstance(outcome, Accepted) for outcome in provider.hand_over(messages))
            parts.append(part.spent())
        if taken != self.readers:
            raise RuntimeError(f"not all were taken: {taken}")
        return clock.spent(), Spent(sum(one.wall for one in parts), sum(one.cpu for one in parts))

    def people(self) -> list[Claimed]:
        """The readers, as a claim has them."""
        return [Claimed(n, 1, n, 0, f"reader{n}@example.com", "", False, None) for n in range(self.readers)]

    def addressed(self, claimed: Claimed) -> EditionMessage:
        """The message to one of them."""
        return pipeline.address(self.press, self.issue, self.mould, claimed)

    def send(self, provider: Provider) -> Spent:
        """Freeze a new issue, and send it to everybody. Raises RuntimeError when not all were taken."""
        number = self._freeze()
        rules = sending.Rules(chunk=max(500, provider.batch))
        clock = _Clock()
        sending.send(self.store, number, provider, self.addressed, CLOCKS, rules=rules)
        spent = clock.spent()
        with self.store.read() as session:
            counts = deliveries.counts(session, number)
        if counts != {deliveries.ACCEPTED: self.readers}:
            raise RuntimeError(f"not all were taken: {counts}")
        return spent

    def close(self) -> None:
        """Close the database."""
        self.store.close()

    def _freeze(self) -> int:
        with self.store.write() as session:
            row = IssueRow(
                date=DAY.date(), title="A digest", state="frozen", input_hash="", created_at=DAY, selection={}
            )
            session.add(row)
            session.flush()
            groups = {"*": Assignment(Edition(self.issue, self.issue.pieces))}
            deliveries.plan(session, row.id or 0, groups, frequency=Frequency.EVERY, due_at=DAY, now=DAY)
            return row.id or 0


def _subscribe(store: Store, readers: int) -> None:
    with store.write() as session:
        for number in range(readers):
            subscribers.add(
                session,
                f"reader{number}@example.com",
                now=DAY,
                how="bench",
                consent_text="yes",
                active=True,
                preferences=Preferences(),
            )


def _large_issue(press: Press) -> Issue:
    """An issue of five pieces, as long as it takes."""
    words = 1500
    while True:
        issue = Issue(1, DAY.date(), "AI Research Digest", tuple(_piece(number, words) for number in range(1, 6)))
        size = len(to_bytes(_sample(press, issue)))
        if abs(size - SIZE) < 1000:
            return issue
        words = max(100, words + int((SIZE - size) / 60))


def _sample(press: Press, issue: Issue) -> Message:
    mould: Mould = pipeline.mould(press, issue, Edition(issue, issue.pieces))
    return pipeline.address(press, issue, mould, Claimed(0, 1, 0, 0, "reader@example.com", "", False, None))


def _piece(number: int, words: int) -> IssuePiece:
    source = Source("https://forum.example.com/feed.xml", "The Forum", "https://forum.example.com/feed.xml")
    piece = Piece(
        title=f"Finding number {number}",
        url=f"https://forum.example.com/{number}",
        source=source,
        authors=("Ada Example",),
        id=number,
    )
    sentence = " ".join(f"word{place * 37 % 1000}" for place in range(words))
    sections = (Section("summary", "", SectionShape.PROSE, ((Claim(sentence),),)),)
    return IssuePiece(piece, Summary(kind=SummaryKind.DIGEST, sections=sections, writer="claude", model="model-1"))


Bench = Callable[[Path, Plan], list[Row]]
BENCHES: dict[str, Bench] = {"smtp": smtp, "sendgrid": sendgrid}
"""What can be measured, by name."""

if __name__ == "__main__":
    raise SystemExit(main())
