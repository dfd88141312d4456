"""A sending: what it does when it is told to stop, when the provider has no time, and when it is killed."""

from __future__ import annotations

import datetime as dt
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter import deliveries, sending
from newsletter.deliveries import Clocks, Verdict
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Refused, TryLater
from newsletter.sending import Halt, Rules
from newsletter.store import Store
from newsletter.store.tables import SendingRow
from newsletter.values import Message
from newsletter.witness import NotTrusted
from scripts import soak
from scripts.peers import CountingPeer
from scripts.soak import Folder
from tests.newsletter.counting import BATCH, CountingServer
from tests.newsletter.makers import DAY
from tests.newsletter.test_deliveries import CLOCKS, Post, compose, counts, frozen

READERS = 400


def send(store: Store, number: int, post: Post, clocks: Clocks = CLOCKS, halt: Halt | None = None) -> dict[str, int]:
    sending.send(store, number, post, compose, clocks, rules=Rules(chunk=3), halt=halt)
    return counts(store, number)


def _standing(store: Store, number: int) -> SendingRow:
    with store.read() as session:
        return deliveries.standing(session, number)


def test_a_pause_holds_from_the_next_call_on_and_a_resume_lets_it_go_on(store: Store) -> None:
    number = frozen(store)

    def pause(message: Message) -> Outcome:
        with store.write() as session:
            deliveries.pause(session, number)
        return Accepted(message.key)

    post = Post(pause)
    assert send(store, number, post) == {"planned": 3, "accepted": 2, "skipped": 2}
    assert post.calls == [2]
    assert send(store, number, Post()) == {"planned": 3, "accepted": 2, "skipped": 2}
    with store.write() as session:
        deliveries.resume(session, number)
    assert send(store, number, Post()) == {"accepted": 5, "skipped": 2}


def test_a_cancel_in_the_middle_ends_it_and_the_counts_add_up(store: Store) -> None:
    number = frozen(store)

    def cancel(message: Message) -> Outcome:
        if message.to.startswith("reader0@"):
            with store.write() as session:
                assert deliveries.cancel(session, number, DAY) == 3
            return TryLater(message.key, "busy")
        return Accepted(message.key)

    assert send(store, number, Post(cancel)) == {"accepted": 1, "skipped": 2, "cancelled": 4}
    assert send(store, number, Post()) == {"accepted": 1, "skipped": 2, "cancelled": 4}


def test_a_halt_lets_what_is_in_flight_end_and_gives_the_rest_back(store: Store) -> None:
    number, halt = frozen(store), Halt()

    def ask(message: Message) -> Outcome:
        halt.ask()
        return Accepted(message.key)

    assert send(store, number, Post(ask), halt=halt) == {"planned": 3, "accepted": 2, "skipped": 2}


def test_a_provider_that_hangs_is_left_behind_with_what_it_holds_in_doubt(store: Store) -> None:
    number, halt, release = frozen(store), Halt(patience=0.1), threading.Event()

    def hang(message: Message) -> Outcome:
        halt.ask()
        release.wait(20)
        return Accepted(message.key)

    began = time.monotonic()
    assert send(store, number, Post(hang), halt=halt) == {"planned": 3, "in_doubt": 2, "skipped": 2}
    assert time.monotonic() - began < 5
    release.set()


def test_asking_twice_means_at_once() -> None:
    halt = Halt()
    assert not halt.is_asked
    halt.ask()
    assert halt.is_asked and not halt.is_over
    halt.ask()
    assert halt.is_over


def test_a_provider_that_breaks_off_leaves_doubt_only_where_it_gave_no_answer(store: Store) -> None:
    def break_off(message: Message) -> Outcome:
        if message.to.startswith("reader1@"):
            raise KeyError("a bug of the provider's")
        return Accepted(message.key)

    number = frozen(store)
    with pytest.raises(KeyError):
        send(store, number, Post(break_off))
    assert counts(store, number) == {"planned": 3, "accepted": 1, "in_doubt": 1, "skipped": 2}


def test_a_wish_of_the_provider_holds_the_whole_issue_for_as_long(store: Store) -> None:
    number, post = frozen(store, 20), Post(lambda m: TryLater(m.key, "429 Too Many Requests", after=1800))
    assert send(store, number, post) == {"planned": 20, "skipped": 2}
    assert post.calls == [2]
    standing = _standing(store, number)
    assert standing.held_until == DAY + dt.timedelta(minutes=30)
    assert standing.trouble == "429 Too Many Requests"
    early = Post()
    assert send(store, number, early) == {"planned": 20, "skipped": 2}
    assert early.calls == []
    later = Clocks(now=lambda: DAY + dt.timedelta(minutes=31), real=lambda: DAY)
    assert send(store, number, Post(), later) == {"accepted": 20, "skipped": 2}
    assert (_standing(store, number).held_until, _standing(store, number).trouble) == (None, "")


def test_a_provider_that_is_busy_again_and_again_is_left_alone_for_twice_as_long_each_time(store: Store) -> None:
    number, now, waits = frozen(store, 60), DAY, []
    for _ in range(4):
        post = Post(lambda m: TryLater(m.key, "500"))
        send(store, number, post, Clocks(now=lambda now=now: now, real=lambda: DAY))  # type: ignore[misc]
        assert sum(post.calls) == sending.MOST_BUSY_CALLS * post.batch
        held = _standing(store, number).held_until
        assert held is not None
        waits.append(int((held - now).total_seconds() / 60))
        now = held
    assert waits == [1, 2, 4, 8]


def test_one_reader_of_whom_the_provider_has_no_time_holds_nobody(store: Store) -> None:
    number = frozen(store)
    post = Post(lambda m: TryLater(m.key, "greylisted") if m.to.startswith("reader1@") else Accepted(m.key))
    assert send(store, number, post) == {"planned": 1, "accepted": 4, "skipped": 2}
    assert _standing(store, number).held_until is None


def test_what_is_older_than_the_window_waits_for_a_word_of_the_owner(store: Store) -> None:
    number = frozen(store)
    late = Clocks(now=lambda: DAY + dt.timedelta(hours=13), real=lambda: DAY)
    window = Rules(since=late.now() - dt.timedelta(hours=12))
    sending.send(store, number, Post(), compose, late, rules=window)
    assert counts(store, number) == {"planned": 5, "skipped": 2}
    assert send(store, number, Post(), late) == {"accepted": 5, "skipped": 2}


def test_doubts_are_held_or_sent_again_after_the_grace_as_it_is_configured(store: Store) -> None:
    number = frozen(store)
    assert send(store, number, Post(lambda m: InDoubt(m.key, "reset"))) == {"in_doubt": 5, "skipped": 2}
    for hours, expected in ((1, {"in_doubt": 5, "skipped": 2}), (3, {"accepted": 5, "skipped": 2})):
        later = Clocks(now=lambda: DAY, real=lambda h=hours: DAY + dt.timedelta(hours=h))  # type: ignore[misc]
        rules = Rules(resend_doubts_after=dt.timedelta(hours=2))
        sending.send(store, number, Post(), compose, later, rules=rules)
        assert counts(store, number) == expected


def test_a_restored_older_copy_is_noticed_before_anything_leaves(store: Store, tmp_path: Path) -> None:
    number, file, old = frozen(store, 20), store.file, tmp_path / "old"
    assert file is not None
    store.close()
    shutil.copy(file, old)
    assert send(store, number, Post()) == {"accepted": 20, "skipped": 2}
    store.close()
    for path in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        path.unlink(missing_ok=True)
    shutil.copy(old, file)
    post = Post()
    with pytest.raises(NotTrusted, match=r"ends with hand-over 0, and .* saw 13, .* `newsletter deliveries trust`"):
        send(store, number, post)
    assert post.calls == []
    assert sending.trust(store) == [number]
    assert send(store, number, post) == {"planned": 20, "skipped": 2}
    assert post.calls == []


def test_a_copy_that_is_restored_while_a_sending_runs_stops_it_at_the_next_call(store: Store) -> None:
    number = frozen(store)

    def restore(message: Message) -> Outcome:
        sending.witness_of(store).record(_name(store), 1000)
        return Accepted(message.key)

    with pytest.raises(NotTrusted):
        send(store, number, Post(restore))
    assert counts(store, number) == {"planned": 3, "accepted": 2, "skipped": 2}


def _name(store: Store) -> str:
    with store.read() as session:
        return deliveries.ledger(session)[0]


def test_the_witness_has_the_number_before_the_provider_is_called(store: Store) -> None:
    number, seen = frozen(store), []

    def look(message: Message) -> Outcome:
        with store.read() as session:
            seen.append((sending.witness_of(store).handed(), deliveries.ledger(session)[1]))
        return Accepted(message.key)

    send(store, number, Post(look))
    assert seen == [(1, 1), (1, 1), (2, 2), (3, 3), (3, 3)]


# With real processes, which are killed.


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    peer = CountingPeer()
    soak.prepare(folder, peer, READERS)
    peer.close()
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Iterator[Folder]:
    """A draft, readers, and a provider that counts."""
    peer = CountingPeer()
    yield soak.fresh(template, tmp_path / "round", peer)
    peer.close()


def _server(folder: Folder) -> CountingServer:
    assert isinstance(folder.peer, CountingPeer) and folder.peer.server
    return folder.peer.server


SEAMS = ("commit:1", "commit:2", "commit:3", "commit:4", "handing:2", "bytes:2", "answer:2", "commit:5", "commit:6")
"""After the freeze, the recovery, the claim and the first `handing`; then around the second call; then marks."""


@pytest.mark.slow
@pytest.mark.parametrize("where", SEAMS)
def test_a_kill_at_any_seam_loses_and_doubles_nobody(folder: Folder, where: str) -> None:
    found = soak.seam(folder, where)
    assert (found.lost, found.doubled) == (0, 0)
    assert found.in_doubt <= BATCH
    assert set(found.states) <= {"accepted", "in_doubt"}


@pytest.mark.slow
def test_six_kills_at_random_moments_lose_and_double_nobody(folder: Folder) -> None:
    found = soak.random_kills(folder, random.Random(7), 6, 2.5)
    assert (found.lost, found.doubled) == (0, 0)
    assert found.in_doubt <= BATCH * max(found.kills, 1)


@pytest.mark.slow
def test_a_stop_with_a_provider_that_answers_leaves_nothing_in_doubt(folder: Folder) -> None:
    _server(folder).delay = 0.3
    process = folder.spawn("send", "1", "--yes", "--json")
    _wait_for(lambda: _server(folder).requests >= 2)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 4, out + err
    states = Counter(folder.states().values())
    assert set(states) == {"accepted", "planned"} and states["accepted"] == sum(folder.peer.taken().values())
    assert "`newsletter send 1` goes on" in err
    assert folder.send()[0] == 0
    assert folder.judge(0).states == {"accepted": READERS} and folder.judge(0).doubled == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_with_a_provider_that_hangs_ends_in_time_with_doubt(folder: Folder, number: signal.Signals) -> None:
    _server(folder).delay = None
    process = folder.spawn("send", "1", "--yes")
    _wait_for(lambda: _server(folder).requests >= 1)
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 4
    assert folder.judge(0).states == {"in_doubt": BATCH, "planned": READERS - BATCH}


@pytest.mark.slow
def test_two_senders_at_once_mail_nobody_twice(folder: Folder) -> None:
    _server(folder).delay = 0.05
    folder.run("send", "1", "--yes", DIE_AT="commit:1")
    processes = [folder.spawn("send", "1", "--yes") for _ in range(2)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode in (0, 4) for process in processes] == [True, True], said
    found = folder.judge(0)
    assert (found.lost, found.doubled, found.states) == (0, 0, {"accepted": READERS})


@pytest.mark.slow
def test_a_power_cut_at_any_request_doubles_nobody(folder: Folder, tmp_path: Path) -> None:
    copies: dict[int, tuple[Path, Counter[str]]] = {}

    def copy(number: int) -> None:
        if number in (1, 2, 5, READERS // BATCH):
            to = tmp_path / f"copy{number}"
            shutil.copytree(folder.path, to)
            copies[number] = (to, Counter(_server(folder).taken))

    _server(folder).on_request = copy
    assert folder.send()[0] == 0
    assert len(copies) == 4
    for number, (path, taken) in copies.items():
        elsewhere = Folder(path, folder.peer)
        before = Counter(folder.peer.taken())
        code, said = elsewhere.send()
        assert code == 5 and "this data folder is a copy" in said and "deliveries trust" in said
        assert folder.peer.taken() == before
        _put_back(path / "data", folder.path / "data")
        _server(folder).taken = Counter(taken)
        code, said = folder.send()
        assert code == 4, said
        found = folder.judge(1)
        assert (found.lost, found.doubled, found.in_doubt) == (0, 0, BATCH), number


def _put_back(saved: Path, data: Path) -> None:
    """What the disk holds after the power cut: the same files with what they held then."""
    for path in data.iterdir():
        if path.is_file() and not (saved / path.name).exists():
            path.unlink()
    for path in saved.iterdir():
        if path.is_file():
            with (data / path.name).open("r+b" if (data / path.name).exists() else "wb") as file:
                file.write(path.read_bytes())
                file.truncate()


@pytest.mark.slow
def test_a_copied_folder_goes_on_when_it_is_trusted_and_its_issues_are_resumed(folder: Folder, tmp_path: Path) -> None:
    def copy_second(number: int) -> None:
        if number == 2:
            shutil.copytree(folder.path, tmp_path / "copy")

    _server(folder).on_request = copy_second
    assert folder.send(DIE_AT="bytes:2")[0] == -signal.SIGKILL
    copy = Folder(tmp_path / "copy", folder.peer)
    assert copy.send()[0] == 5
    code, said = copy.run("deliveries", "trust", "--yes")
    assert code == 0 and "Issue 1 is paused" in said
    assert copy.send()[0] == 5
    assert copy.run("issues", "resume", "1")[0] == 0
    assert copy.send()[0] == 4
    assert (copy.judge(1).lost, copy.judge(1).doubled, copy.judge(1).in_doubt) == (0, 0, BATCH)


@pytest.mark.slow
def test_database_and_witness_are_on_the_disk_before_a_byte_leaves(folder: Folder) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: nothing here can show the order of syncs and bytes")
    trace = folder.path / "trace"
    environment = {"PYTHONPATH": str(soak.ROOT), **folder.peer.environment, "PATH": "/usr/bin:/bin"}
    calls = "trace=fsync,fdatasync,sendto,write,pwrite64,openat"
    words = [*folder.peer.command, "send", "1", "--yes", "--config", str(folder.path), *soak.NOW]
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(trace), sys.executable, "-m", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here: nothing here can show the order of syncs and bytes")
    assert done.returncode == 0, done.stdout + done.stderr
    order = list(_events(trace.read_text("utf-8", errors="replace")))
    sends = [position for position, event in enumerate(order) if event == "bytes"]
    assert len(sends) == READERS // BATCH
    for before, position in zip([0, *sends], sends, strict=False):
        since = order[before:position]
        assert "wal" in since and since[-1] == "witness"


def _events(trace: str) -> Iterator[str]:
    """The syncs of the database's log and of the witness, and the requests to the provider, in their order."""
    for line in trace.splitlines():
        if re.search(r"(fsync|fdatasync)\(\d+<[^>]*-wal>", line):
            yield "wal"
        elif re.search(r"(fsync|fdatasync)\(\d+<[^>]*\.witness>", line):
            yield "witness"
        elif re.search(r'(sendto|write)\(\d+<(socket|TCP)[^>]*>, "POST / HTTP', line):
            yield "bytes"


def _wait_for(condition: object) -> None:
    assert callable(condition)
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.02)


def test_a_provider_that_refuses_everybody_stops_the_issue_before_all_are_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MOST_REFUSED", 3)
    number = frozen(store)
    post = Post(lambda message: Refused(message.key, "554 account suspended"))
    with pytest.raises(NotAllowed, match=r"refused 3 readers and took nobody: 554 .* is paused.* --state failed --as"):
        send(store, number, post)
    assert counts(store, number) == {"planned": 2, "failed": 3, "skipped": 2}
    assert _standing(store, number).state == "paused"
    with store.write() as session:
        deliveries.resolve(session, number, Verdict.AGAIN, CLOCKS, state="failed")
        deliveries.resume(session, number)
    assert send(store, number, Post()) == {"accepted": 5, "skipped": 2}


def test_refusals_after_somebody_was_taken_are_those_readers_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_REFUSED", 2)
    taken = iter([True, False, False, False, False])
    post = Post(lambda message: Accepted(message.key) if next(taken) else Refused(message.key, "no such mailbox"))
    assert send(store, frozen(store), post) == {"accepted": 1, "failed": 4, "skipped": 2}
