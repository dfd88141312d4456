"""Facts about handing letters over: what becomes of each, and a courier that nothing stops but its end."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import text

import subscribers
from newsletter import events, letters
from newsletter import store as stores
from newsletter.config import Config
from newsletter.deliveries import Clocks
from newsletter.events import Event
from newsletter.letters import Courier, send_due
from newsletter.pipeline import Press
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Refused, TryLater, Unreachable
from newsletter.providers.files import Files
from newsletter.providers.smtp import Server, Smtp
from newsletter.rendering import RenderedLetter
from newsletter.sending import Halt
from newsletter.store import Store, open_store
from newsletter.values import Message
from subscribers import ClaimedLetter, Kind, Letter
from tests.newsletter.mailserver import MailServer
from tests.newsletter.makers import DAY
from tests.newsletter.web.conftest import press_for

URL = "https://newsletter.example.com/c/secret-token"
LEAVE = "https://newsletter.example.com/u/leave-token"
MINUTE = dt.timedelta(minutes=1)

Answer = Callable[[Message], Outcome | None]


@dataclass
class Watch:
    """A clock that a test sets."""

    now: dt.datetime = DAY

    def __call__(self) -> dt.datetime:
        """What it shows."""
        return self.now


@dataclass
class Carrier:
    """A provider that keeps what it takes, and answers as it is told."""

    answer: Answer = lambda message: Accepted(message.key)
    taken: list[Message] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    name: str = "carrier"
    batch: int = 2
    repeats_safely: bool = False

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Answer for each message."""
        self.calls.append(len(messages))
        for message in messages:
            outcome = self.answer(message)
            if isinstance(outcome, Accepted | InDoubt):
                self.taken.append(message)
            if outcome is not None:
                yield outcome

    @property
    def readers(self) -> list[str]:
        """To whom it took something, in order."""
        return [message.to.partition("@")[0] for message in self.taken]


class Killed(BaseException):
    """The end of a process, as nothing in it can catch it."""


@pytest.fixture
def watch() -> Watch:
    """What time it is, by both clocks."""
    return Watch()


@pytest.fixture
def press(store: Store, watch: Watch) -> Press:
    """The parts of a newsletter whose clocks the test sets."""
    return replace(press_for(store, Config()), clocks=Clocks(now=watch, real=watch))


def post(store: Store, *readers: str, kind: str = "confirm", now: dt.datetime = DAY, **details: str) -> None:
    with store.write() as session:
        for reader in readers:
            subscribers.post_letter(session, Letter(kind, f"{reader}@example.com", {"url": URL, **details}), now=now)


def counts(store: Store) -> dict[str, int]:
    with store.read() as session:
        return subscribers.letter_counts(session)


def next_try(store: Store) -> dt.datetime | None:
    with store.read() as session:
        return subscribers.next_letter_at(session)


def reasons(store: Store) -> list[str]:
    with store.read() as session:
        return list(session.scalars(text("SELECT reason FROM letter ORDER BY id")))


def header(message: Message, name: str) -> str | None:
    return dict(message.headers).get(name)


def mails(folder: Path) -> list[EmailMessage]:
    """What the files provider wrote, read as a mail program does."""
    parsed = (email.message_from_bytes(p.read_bytes(), policy=email.policy.default) for p in folder.glob("*.eml"))
    return [mail for mail in parsed if isinstance(mail, EmailMessage)]


def test_a_letter_becomes_a_mail_to_its_one_reader(press: Press, tmp_path: Path) -> None:
    post(press.store, "Ann")
    assert send_due(press, Files(tmp_path / "outbox")) == 1
    (mail,) = mails(tmp_path / "outbox")
    assert (mail["To"], mail["Auto-Submitted"]) == ("Ann@example.com", "auto-generated")
    assert press.config.newsletter.name in mail["Subject"] and mail["Message-ID"]
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None and URL in body.get_content()
    assert counts(press.store) == {"accepted": 1}


def test_a_letter_of_the_list_can_be_left_in_one_click_and_a_question_has_nothing_to_leave(press: Press) -> None:
    post(press.store, "ann")
    post(press.store, "bob", kind="welcome", archive_url=URL, unsubscribe_url=LEAVE)
    carrier = Carrier()
    send_due(press, carrier)
    assert [header(message, "List-Unsubscribe") for message in carrier.taken] == [None, f"<{LEAVE}>"]
    assert [header(message, "List-Unsubscribe-Post") for message in carrier.taken] == [
        None,
        "List-Unsubscribe=One-Click",
    ]


def test_a_letter_without_a_reply_address_names_the_sender_as_contact(press: Press) -> None:
    post(press.store, "ann", kind="moved")
    carrier = Carrier()
    send_due(press, carrier)
    assert press.config.delivery.from_address in carrier.taken[0].text


def test_nothing_that_waits_is_left_and_no_call_is_larger_than_the_provider_takes(press: Press) -> None:
    post(press.store, *(f"u{number}" for number in range(5)))
    carrier = Carrier()
    assert send_due(press, carrier) == 5
    assert (carrier.calls, carrier.readers) == ([2, 2, 1], ["u0", "u1", "u2", "u3", "u4"])
    assert send_due(press, carrier) == 0
    assert counts(press.store) == {"accepted": 5}


def test_a_refused_letter_fails_alone(press: Press) -> None:
    post(press.store, "ann", "bob", "eve")
    carrier = Carrier(lambda m: Refused(m.key, "no such mailbox") if m.to.startswith("bob@") else Accepted(m.key))
    assert send_due(press, carrier) == 2
    assert counts(press.store) == {"accepted": 2, "failed": 1}
    assert reasons(press.store) == ["", "no such mailbox", ""]


def test_later_means_later_by_the_providers_wish(press: Press, watch: Watch) -> None:
    post(press.store, "ann")
    assert send_due(press, Carrier(lambda m: TryLater(m.key, "busy", after=600))) == 0
    assert next_try(press.store) == DAY + 10 * MINUTE
    watch.now += 10 * MINUTE
    assert send_due(press, Carrier()) == 1


@pytest.mark.parametrize("answer", [lambda m: InDoubt(m.key, "reset"), lambda m: None], ids=["in doubt", "silence"])
def test_what_may_have_been_taken_is_handed_over_again_as_the_same_mail(
    press: Press, watch: Watch, answer: Answer
) -> None:
    post(press.store, "ann")
    seen: list[Message] = []

    def keep(message: Message) -> Outcome | None:
        seen.append(message)
        return answer(message)

    send_due(press, Carrier(keep))
    watch.now += MINUTE
    carrier = Carrier()
    assert send_due(press, carrier) == 1
    assert [m.key for m in seen] == [m.key for m in carrier.taken]
    assert header(seen[0], "Message-ID") == header(carrier.taken[0], "Message-ID") is not None


@pytest.mark.parametrize("answer", [lambda m: TryLater(m.key, "x"), lambda m: InDoubt(m.key, "x"), lambda m: None])
def test_a_letter_that_never_goes_has_failed_after_eight_tries(press: Press, watch: Watch, answer: Answer) -> None:
    post(press.store, "ann")
    carrier = Carrier(answer)
    for _ in range(12):
        send_due(press, carrier)
        watch.now += 61 * MINUTE
    assert (len(carrier.calls), counts(press.store)) == (8, {"failed": 1})


def test_a_provider_that_does_not_accept_us_costs_no_letter_a_try(press: Press, watch: Watch) -> None:
    def only_ann(message: Message) -> Outcome:
        if message.to.startswith("ann@"):
            return Accepted(message.key)
        raise NotAllowed("bad key; set another")

    post(press.store, "ann", "bob", "eve")
    for _ in range(20):
        with pytest.raises(NotAllowed):
            send_due(press, Carrier(only_ann))
        watch.now += 5 * MINUTE
    assert counts(press.store) == {"accepted": 1, "planned": 2}
    assert send_due(press, Carrier()) == 2


def test_after_a_refusal_of_us_the_next_look_is_minutes_away(press: Press) -> None:
    def refuse(message: Message) -> Outcome:
        raise NotAllowed("bad key")

    post(press.store, "ann")
    with pytest.raises(NotAllowed):
        send_due(press, Carrier(refuse))
    assert next_try(press.store) == DAY + letters.NOT_ALLOWED_WAIT
    assert send_due(press, Carrier()) == 0


@pytest.fixture
def distant() -> Smtp:
    """A mail server that does not answer, on a port of its own where one may begin to."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    return Smtp(Server("127.0.0.1", port, "none", timeout_seconds=5))


def test_a_provider_that_cannot_be_reached_costs_no_letter_a_try_however_long(
    press: Press, watch: Watch, distant: Smtp
) -> None:
    post(press.store, "ann", "bob")
    for _ in range(20):
        with pytest.raises(Unreachable):
            send_due(press, distant)
        assert counts(press.store) == {"planned": 2}
        assert next_try(press.store) == watch.now + letters.UNREACHABLE_WAIT
        watch.now += letters.UNREACHABLE_WAIT
    with MailServer(port=distant.server.port) as server:
        assert send_due(press, distant) == 2
        assert server.recipients == ["ann@example.com", "bob@example.com"]


def test_a_letter_that_cannot_be_made_fails_and_keeps_no_other_back(press: Press) -> None:
    post(press.store, "ann", kind="unheard-of")
    post(press.store, "bob", kind="welcome")
    post(press.store, "eve")
    with press.store.write() as session:
        subscribers.post_letter(session, Letter("confirm", "zoe@example.com", {"url": "javascript:secret"}), now=DAY)
    carrier = Carrier()
    assert send_due(press, carrier) == 1
    assert (carrier.readers, counts(press.store)) == (["eve"], {"accepted": 1, "failed": 3})
    assert "unheard-of" in reasons(press.store)[0] and "archive_url" in reasons(press.store)[1]
    assert [reason for reason in reasons(press.store) if "secret" in reason] == []


def test_an_address_that_is_barred_while_letters_are_sent_gets_none_of_the_rest(press: Press) -> None:
    def bar(message: Message) -> Outcome:
        with press.store.write() as session:
            subscribers.suppress(session, "u2@example.com", Kind.COMPLAINT, now=DAY)
        return Accepted(message.key)

    post(press.store, "u0", "u1", "u2", "u3")
    carrier = Carrier(bar)
    assert send_due(press, carrier) == 3
    assert (carrier.readers, counts(press.store)) == (["u0", "u1", "u3"], {"accepted": 3, "failed": 1})


def test_what_a_killed_process_was_handing_over_goes_again_after_the_lease_as_the_same_mail(
    press: Press, watch: Watch, tmp_path: Path
) -> None:
    @dataclass(frozen=True)
    class Dying(Files):
        def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
            yield from super().hand_over(messages[:1])
            raise Killed

    post(press.store, "ann", "bob")
    with pytest.raises(Killed):
        send_due(press, Dying(tmp_path))
    assert (len(mails(tmp_path)), counts(press.store)) == (1, {"handing": 2})
    watch.now += 5 * MINUTE
    assert send_due(press, Files(tmp_path)) == 0
    watch.now += MINUTE
    assert send_due(press, Files(tmp_path)) == 2
    assert sorted(mail["To"] for mail in mails(tmp_path)) == ["ann@example.com", "bob@example.com"]


def test_once_it_is_over_what_is_in_flight_is_finished_and_nothing_more_is_claimed(press: Press) -> None:
    post(press.store, "u0", "u1", "u2")
    carrier = Carrier()
    assert send_due(press, carrier, lambda: bool(carrier.calls)) == 2
    assert counts(press.store) == {"accepted": 2, "planned": 1}


def test_what_letters_say_of_themselves_is_that_of_their_kind(press: Press) -> None:
    letter = ClaimedLetter(7, "lost", "ann@example.com", {"url": URL, "unsubscribe_url": LEAVE})
    message = letters.address(press, letter)
    said = press.renderer.letter("lost", {"address": "ann@example.com", "url": URL, "unsubscribe_url": LEAVE})
    assert isinstance(said, RenderedLetter)
    assert (message.key, message.to, message.text, message.html) == (
        "letter-7",
        "ann@example.com",
        said.text,
        said.html,
    )


@dataclass
class Owner:
    """Who is told what the courier cannot do."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        """Be told."""
        self.lines.append(line)


def soon(is_so: Callable[[], bool]) -> bool:
    """Whether something comes true within some seconds."""
    ends = time.monotonic() + 10
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.01)
    return is_so()


def couriers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "courier"]


@contextmanager
def ended_quickly() -> Iterator[None]:
    """Checks that what it encloses leaves no thread behind and did not sleep until the next look."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < letters.LOOK_SECONDS / 2
    assert couriers() == []


def test_a_courier_finds_what_waited_before_it_came(press: Press) -> None:
    post(press.store, "ann")
    carrier, owner = Carrier(), Owner()
    with ended_quickly(), Courier(press, carrier, owner):
        assert soon(lambda: counts(press.store) == {"accepted": 1})
    assert owner.lines == []


def test_a_courier_that_is_called_looks_at_once_however_often(press: Press) -> None:
    carrier = Carrier()
    with ended_quickly(), Courier(press, carrier, Owner()) as courier:
        for number in range(5):
            post(press.store, f"u{number}")
            courier.call()
            courier.call()
            assert soon(lambda number=number: counts(press.store) == {"accepted": number + 1})  # type: ignore[misc]  # bound now
    assert carrier.readers == [f"u{number}" for number in range(5)]


def test_a_courier_that_is_ended_as_soon_as_it_starts_ends(press: Press) -> None:
    for _ in range(20):
        with ended_quickly(), Courier(press, Carrier(), Owner()):
            pass


def test_at_its_end_a_courier_finishes_what_is_in_flight_and_leaves_the_rest(press: Press) -> None:
    is_called, goes_on = threading.Event(), threading.Event()

    def wait(message: Message) -> Outcome:
        is_called.set()
        goes_on.wait(10)
        return Accepted(message.key)

    post(press.store, *(f"u{number}" for number in range(6)))
    carrier = Carrier(wait)
    with ended_quickly(), Courier(press, carrier, Owner()):
        assert is_called.wait(10)
        threading.Timer(0.1, goes_on.set).start()
    assert carrier.readers == ["u0", "u1"]
    assert counts(press.store) == {"accepted": 2, "planned": 4}


def test_a_courier_that_shares_a_halt_begins_no_letter_once_it_is_asked(press: Press) -> None:
    halt, carrier = Halt(), Carrier()
    with ended_quickly(), Courier(press, carrier, Owner(), halt=halt) as courier:
        halt.ask()
        post(press.store, "ann")
        courier.call()
    assert (carrier.readers, counts(press.store)) == ([], {"planned": 1})


def test_a_provider_that_hangs_does_not_keep_the_server_from_stopping(press: Press) -> None:
    goes_on = threading.Event()

    def hang(message: Message) -> Outcome:
        goes_on.wait(10)
        return Accepted(message.key)

    post(press.store, "ann")
    with Courier(press, Carrier(hang), Owner(), halt=Halt(0.05)):
        assert soon(lambda: counts(press.store) == {"handing": 1})
    (thread,) = couriers()
    assert thread.daemon
    goes_on.set()
    thread.join(10)
    assert counts(press.store) == {"accepted": 1}


def test_that_letters_cannot_go_is_told_in_one_line_without_address_or_token(press: Press) -> None:
    def refuse(message: Message) -> Outcome:
        raise NotAllowed("the key is not accepted;\n\n set another\r\n" + "x" * 1000)

    owner = Owner()
    post(press.store, "ann")
    with ended_quickly(), Courier(press, Carrier(refuse), owner):
        assert soon(lambda: bool(owner.lines))
    (line,) = owner.lines
    assert line.startswith("letters wait: the key is not accepted; set another x")
    assert "\n" not in line and "\r" not in line and len(line) < 350


def test_an_outage_is_told_once_and_the_next_one_too(
    press: Press, watch: Watch, distant: Smtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "LOOK_SECONDS", 0.02)
    owner = Owner()

    def outage(reader: str) -> None:
        post(press.store, reader, now=watch.now)
        for _ in range(5):
            assert soon(lambda: (next_try(press.store) or DAY) > watch.now)
            watch.now += letters.UNREACHABLE_WAIT

    with Courier(press, distant, owner):
        for number, reader in enumerate(("ann", "bob"), 1):
            outage(reader)
            with MailServer(port=distant.server.port):
                watch.now += letters.UNREACHABLE_WAIT
                assert soon(lambda number=number: counts(press.store) == {"accepted": number})  # type: ignore[misc]  # bound now
    assert owner.lines == [f"letters wait: 127.0.0.1:{distant.server.port}: Connection refused"] * 2


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """Another writer holds the database."""
    with store.write() as session:
        subscribers.letter_counts(session)
        yield


def test_a_courier_goes_on_after_a_database_that_was_locked(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(letters, "LOOK_SECONDS", 0.1)
    shutil.copy(empty_database, tmp_path / "locked.sqlite3")
    owner, store = Owner(), open_store(f"sqlite:///{tmp_path / 'locked.sqlite3'}")
    with closing(store), ExitStack() as work:
        post(store, "ann")
        with locked(store):
            work.enter_context(Courier(press_for(store, Config()), Carrier(), owner))
            assert soon(lambda: bool(owner.lines))
        assert soon(lambda: counts(store) == {"accepted": 1})
    assert all("keeps the database locked" in line and "\n" not in line for line in owner.lines)
    assert [word for word in ("ann", "example.com", "secret", "token") if word in " ".join(owner.lines)] == []


def test_what_is_kept_too_long_goes_at_the_start_and_once_a_day_by_the_presss_clock(press: Press, watch: Watch) -> None:
    def settle(reader: str) -> None:
        """Something that the next sweep drops, as it was posted long ago."""
        post(press.store, reader, now=DAY - dt.timedelta(days=9))
        send_due(press, Carrier())

    def old() -> int:
        with press.store.read() as session:
            return len(session.scalars(text("SELECT id FROM letter WHERE address LIKE 'old%'")).all())

    settle("old1")
    carrier = Carrier()
    with ended_quickly(), Courier(press, carrier, Owner()) as courier:
        assert soon(lambda: old() == 0)
        settle("old2")
        watch.now += dt.timedelta(hours=1)
        post(press.store, "today", now=watch.now)
        courier.call()
        assert soon(lambda: "today" in carrier.readers)
        assert old() == 1
        watch.now += dt.timedelta(days=1)
        courier.call()
        assert soon(lambda: old() == 0)


def test_reports_that_are_too_old_go_with_what_is_kept_too_long(press: Press, watch: Watch) -> None:
    def kept() -> int:
        with press.store.read() as session:
            return sum(events.counts(session).values())

    with press.store.write() as session:
        events.record(session, [Event("9-9", events.Kind.DELIVERED, DAY, "", "ref")], DAY)
    assert kept()
    watch.now += events.KEPT
    with ended_quickly(), Courier(press, Carrier(), Owner()):
        assert soon(lambda: not kept())


def test_a_bug_in_a_provider_silences_no_later_letter(press: Press) -> None:
    def stumble(message: Message) -> Outcome:
        raise ZeroDivisionError(message.to)

    heard: list[str] = []
    post(press.store, "ann")
    with Courier(press, Carrier(stumble), heard.append):
        assert soon(lambda: bool(heard))
    assert heard == ["letters wait: a bug, ZeroDivisionError"]


def test_letters_that_failed_for_good_are_told_in_number_alone(press: Press) -> None:
    heard: list[str] = []
    post(press.store, "ann", kind="unheard-of")
    with Courier(press, Carrier(), heard.append):
        assert soon(lambda: bool(heard))
    assert heard == ["letters that failed for good: 1"]
