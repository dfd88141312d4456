"""`newsletter subscribers`: the owner's way to the people who get it."""

from __future__ import annotations

import csv
import hashlib
import io
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

import subscribers
from newsletter.cli import subscribers as command
from newsletter.store import open_store
from subscribers import Letter
from tests.newsletter.cli.conftest import Owner, Run
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())
CONSENT = ("--consent", "Asked by mail on 1 May 2026.")
TOPICS = '[[topics]]\nkey = "safety"\nname = "Safety"\n[[topics]]\nkey = "theory"\nname = "Theory and methods"\n'


@pytest.fixture
def owner(owner: Owner) -> Owner:
    """An owner whose newsletter has two topics."""
    owner.configure("/one.xml", extra=TOPICS)
    return owner


def add(owner: Owner, address: str, *more: str) -> Run:
    """Take someone in as the owner does."""
    return owner("subscribers", "add", address, *CONSENT, *NOW, *more)


def refused(run: Run, code: int, *words: str) -> None:
    """The command ended with that code and one line that says these words."""
    assert run.code == code, run.err
    assert len(run.err.splitlines()) == 1
    for word in words:
        assert word in run.err


def listed(owner: Owner, *more: str) -> list[str]:
    """The addresses that `list` prints."""
    return [one["address"] for one in owner("subscribers", "list", "--json", *NOW, *more).json["subscribers"]]


def shown(owner: Owner, address: str) -> dict[str, object]:
    """What `show` says of an address."""
    found: dict[str, object] = owner("subscribers", "show", address, "--json", *NOW).json
    return found


def change(owner: Owner, address: str, preferences: subscribers.Preferences) -> None:
    """Change what someone asked for, as their own page would."""
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        person = subscribers.find(session, address)
        assert person is not None
        subscribers.set_preferences(session, person, preferences, now=DAY)
    store.close()


def complain(owner: Owner, address: str) -> None:
    """What a provider's report of a complaint does."""
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        subscribers.suppress(session, address, subscribers.Kind.COMPLAINT, now=DAY)
    store.close()


def test_the_words_of_the_command_line_are_those_of_the_list() -> None:
    assert set(command.STATES) == set(subscribers.State)
    assert set(command.FORMATS) == set(subscribers.Format)


def test_who_is_added_is_active_at_once_with_what_they_asked_for(owner: Owner) -> None:
    run = add(owner, "Ann@Example.com", "--name", "Ann", "--topics", "theory, safety", "--format", "text")
    assert (run.code, run.out) == (0, "Ann@example.com is added and gets the next issue.\n")
    ann = shown(owner, "ann@example.com")
    assert (ann["name"], ann["state"], ann["topics"], ann["format"]) == ("Ann", "active", ["safety", "theory"], "text")
    assert ann["consents"] == [
        {
            "at": str(DAY),
            "text": CONSENT[1],
            "how": "owner",
            "address": "Ann@example.com",
            "network": None,
        }
    ]


def test_who_is_known_stays_as_they_are(owner: Owner) -> None:
    add(owner, "ann@example.com", "--name", "Ann")
    run = add(owner, "ANN@example.com", "--name", "Someone else")
    assert run.code == 0 and "nothing was changed" in run.out
    assert shown(owner, "ann@example.com")["name"] == "Ann"


def test_who_waits_to_be_confirmed_is_active_once_the_owner_holds_their_consent(owner: Owner) -> None:
    add(owner, "bob@example.com")
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        subscribers.add(session, "ann@example.com", now=DAY, how="form", consent_text="Yes.")
    store.close()
    assert listed(owner, "--state", "pending") == ["ann@example.com"]
    assert "was waiting to be confirmed" in add(owner, "ann@example.com").out
    assert shown(owner, "ann@example.com")["state"] == "active"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no address", *CONSENT), "that is no mail address"),
        (("ann@example.com", "--consent", "  "), "--consent: say what they agreed to"),
        (("ann@example.com", *CONSENT, "--name", "A\nB"), "--name: it holds a control character"),
        (("ann@example.com", *CONSENT, "--topics", "safety,cooking"), "no topic 'cooking'; there are safety, theory"),
    ],
)
def test_what_cannot_be_added_is_refused_in_one_line(owner: Owner, words: tuple[str, ...], said: str) -> None:
    refused(owner("subscribers", "add", *words, *NOW), 2, said)
    assert listed(owner) == []


def test_who_left_is_brought_back_by_nobody_but_themselves(owner: Owner) -> None:
    add(owner, "ann@example.com")
    assert "only they can come back" in owner("subscribers", "unsubscribe", "ann@example.com", *NOW).out
    refused(add(owner, "ann@example.com"), 5, "left", "/subscribe")
    assert shown(owner, "ann@example.com")["state"] == "unsubscribed"
    assert "had left before" in owner("subscribers", "unsubscribe", "ann@example.com", *NOW).out


def test_a_stopped_address_is_not_added_until_the_owner_lifts_that(owner: Owner) -> None:
    stopped = owner("subscribers", "suppress", "ann@example.com", "--note", "asked by phone", *NOW)
    assert stopped.code == 0 and "is stopped" in stopped.out
    refused(add(owner, "ann@example.com"), 5, "`newsletter subscribers lift ann@example.com owner`")
    out = owner("subscribers", "show", "ann@example.com").out
    assert "nobody here has it" in out and "asked by phone" in out
    assert owner("subscribers", "lift", "ann@example.com", "owner", *NOW).code == 0
    assert add(owner, "ann@example.com").code == 0


def test_a_note_with_an_address_is_refused(owner: Owner) -> None:
    refused(owner("subscribers", "suppress", "ann@example.com", "--note", "see bob@example.com"), 2, "--note")


def test_a_lifted_bounce_lets_mail_through_and_a_lifted_complaint_does_not(owner: Owner) -> None:
    add(owner, "ann@example.com")
    owner("subscribers", "suppress", "ann@example.com", *NOW)
    complain(owner, "ann@example.com")
    first = owner("subscribers", "lift", "ann@example.com", "owner", *NOW)
    assert "still against it: complaint" in first.out
    second = owner("subscribers", "lift", "ann@example.com", "complaint", *NOW)
    assert "they are unsubscribed, so they get no issue" in second.out
    add(owner, "bob@example.com")
    owner("subscribers", "suppress", "bob@example.com", *NOW)
    assert "they get mail again" in owner("subscribers", "lift", "bob@example.com", "owner", *NOW).out


def test_a_no_of_the_person_is_not_the_owners_to_lift(owner: Owner) -> None:
    add(owner, "ann@example.com")
    owner("subscribers", "unsubscribe", "ann@example.com", *NOW)
    refused(owner("subscribers", "lift", "ann@example.com", "unsubscribed"), 5, "lifted by the person alone")
    refused(owner("subscribers", "lift", "ann@example.com", "owner"), 2, "against it: unsubscribed")
    refused(owner("subscribers", "lift", "ann@example.com", "anger"), 2, "complaint, hard_bounce, owner")


def test_the_list_shows_everyone_and_who_gets_mail(owner: Owner) -> None:
    for name in ("ann", "bob", "cleo", "dan"):
        add(owner, f"{name}@example.com")
    owner("subscribers", "suppress", "bob@example.com", *NOW)
    owner("subscribers", "unsubscribe", "cleo@example.com", *NOW)
    change(owner, "dan@example.com", subscribers.Preferences(frequency=subscribers.Frequency.WEEKLY))
    lines = owner("subscribers", "list", *NOW).out.splitlines()
    assert lines[0].split() == ["1", "active", "ann@example.com:", "everything;", "every", "issue"]
    assert lines[1].endswith("every issue; no mail: owner")
    assert lines[-1] == (
        "4 people: 1 gets every issue, 1 not mailed (frequency: weekly), 1 not mailed (suppressed: owner), "
        "1 not mailed (unsubscribed)"
    )


def test_the_list_goes_on_where_it_stopped(owner: Owner) -> None:
    for number in range(5):
        add(owner, f"u{number}@example.com")
    assert "More: `newsletter subscribers list --after 2`" in owner("subscribers", "list", "--limit", "2").out
    assert listed(owner, "--limit", "2", "--after", "2") == ["u2@example.com", "u3@example.com"]
    last = owner("subscribers", "list", "--after", "4", "--json").json
    assert (len(last["subscribers"]), last["after"]) == (1, None)
    refused(owner("subscribers", "list", "--limit", "0"), 2, "--limit is 1 or more")


def test_a_running_pause_is_a_state_of_its_own_in_the_list(owner: Owner) -> None:
    add(owner, "ann@example.com")
    add(owner, "bob@example.com")
    change(owner, "bob@example.com", subscribers.Preferences(paused_until=DAY.replace(year=2027)))
    assert listed(owner, "--state", "active") == ["ann@example.com"]
    assert listed(owner, "--state", "paused") == ["bob@example.com"]
    assert listed(owner, "--state", "paused", "--now", "2028-01-01") == []
    assert f"until {DAY.year + 1}-" in owner("subscribers", "show", "bob@example.com", *NOW).out


def test_show_counts_what_was_sent(owner: Owner) -> None:
    add(owner, "ann@example.com")
    assert owner("send", "--yes", *NOW).code == 0
    out = owner("subscribers", "show", "ann@example.com", *NOW).out
    assert "Deliveries 1 accepted" in out and "issue 1: accepted" in out
    assert shown(owner, "ann@example.com")["deliveries"] == {"accepted": 1}


@pytest.mark.parametrize("words", [("show",), ("unsubscribe",), ("delete", "--yes"), ("link",)])
def test_an_unknown_address_is_a_wrong_word(owner: Owner, words: tuple[str, ...]) -> None:
    refused(owner("subscribers", *words, "nobody@example.com"), 2, "nobody@example.com", "subscribers list")
    add(owner, "ann@example.com")
    refused(owner("subscribers", *words, "nobody@example.com"), 2, "nobody@example.com", "subscribers list")
    refused(owner("subscribers", *words, "not-an-address"), 2, "that is no mail address")


@pytest.mark.parametrize("words", [("list",), ("show", "ann@example.com"), ("export",), ("link", "ann@example.com")])
def test_what_only_reads_changes_nothing(owner: Owner, words: tuple[str, ...]) -> None:
    add(owner, "ann@example.com")
    before = hashlib.sha256(owner.database.read_bytes()).hexdigest()
    assert owner("subscribers", *words).code == 0
    assert hashlib.sha256(owner.database.read_bytes()).hexdigest() == before


def test_reading_makes_no_database(owner: Owner) -> None:
    assert "Nobody is here yet" in owner("subscribers", "list").out
    assert owner("subscribers", "export").out.startswith("email,name,state")
    assert not owner.database.exists()


class Terminal(io.StringIO):
    """A person who has typed something."""

    def isatty(self) -> bool:
        """Someone is there."""
        return True


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, []), ("\n", 5, ["ann@example.com"])])
def test_a_person_is_asked_before_someone_is_erased(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: list[str]
) -> None:
    add(owner, "ann@example.com")
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run = owner("subscribers", "delete", "ann@example.com", *NOW)
    assert run.code == code and "Erase ann@example.com for good? [y/N]" in run.err
    assert listed(owner) == left


def test_a_long_import_shows_how_far_it_is(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _file(owner, "email\n" + "".join(f"u{number}@example.com\n" for number in range(100)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run = owner("subscribers", "import", file, *CONSENT, *NOW)
    assert "Importing, kB [##############################] 1/1" in run.err


def test_erasing_asks_and_leaves_nothing_but_a_no(owner: Owner) -> None:
    add(owner, "ann@example.com")
    refused(owner("subscribers", "delete", "ann@example.com", *NOW), 5, "--yes")
    assert listed(owner) == ["ann@example.com"]
    done = owner("subscribers", "delete", "ann@example.com", "--yes", *NOW)
    assert done.code == 0 and "is erased" in done.out
    assert listed(owner) == []
    assert b"ann@example.com" not in _dump(owner)
    refused(add(owner, "ann@example.com"), 5, "was erased")


def _dump(owner: Owner) -> bytes:
    """Every row of the people's tables as text."""
    with sqlite3.connect(owner.database) as connection:
        text = "\n".join(connection.iterdump())
    connection.close()
    return text.encode()


def _file(owner: Owner, text: str) -> str:
    file = owner.folder / "people.csv"
    file.write_text(text, "utf-8")
    return str(file)


LIST = "email;name;topics\nann@example.com;Ann;safety\nbroken;B;\nbob@example.com;=1+1;Theory and methods\n"


def test_an_import_takes_the_good_lines_and_names_the_others(owner: Owner) -> None:
    run = owner("subscribers", "import", _file(owner, LIST), *CONSENT, *NOW)
    assert run.code == 4
    assert "line 3: no valid address" in run.out
    assert run.out.splitlines()[-1] == "3 lines: 2 added, 1 refused"
    assert shown(owner, "bob@example.com")["topics"] == ["theory"]


def test_an_import_run_again_goes_on_and_repeats_nothing(owner: Owner) -> None:
    owner("subscribers", "import", _file(owner, "email\nann@example.com\n"), *CONSENT, *NOW)
    run = owner("subscribers", "import", _file(owner, "email\nann@example.com\nbob@example.com\n"), *CONSENT, *NOW)
    assert (run.code, run.out) == (0, "2 lines: 1 added, 1 here already\n")


def test_an_import_brings_back_nobody_who_left(owner: Owner) -> None:
    add(owner, "ann@example.com")
    owner("subscribers", "unsubscribe", "ann@example.com", *NOW)
    run = owner("subscribers", "import", _file(owner, "email\nann@example.com\n"), *CONSENT, *NOW)
    assert run.code == 0 and "1 who left" in run.out
    assert listed(owner, "--state", "active") == []


def test_a_dry_import_reports_the_same_and_takes_nobody_in(owner: Owner) -> None:
    file = _file(owner, LIST)
    dry = owner("subscribers", "import", file, "--dry-run", "--json", *CONSENT, *NOW)
    assert not owner.database.exists()
    real = owner("subscribers", "import", file, "--json", *CONSENT, *NOW)
    assert (dry.code, real.code) == (4, 4)
    assert {**dry.json, "dry_run": False} == real.json
    again = owner("subscribers", "import", file, "--dry-run", *CONSENT, *NOW)
    assert "3 lines: 2 here already, 1 refused\nNobody was taken in" in again.out


def test_a_person_reads_the_first_refused_lines_and_a_program_all(owner: Owner) -> None:
    file = _file(owner, "email\n" + "nothing\n" * 150 + "ann@example.com\n")
    out = owner("subscribers", "import", file, *CONSENT, *NOW).out
    assert out.count("\nline ") + out.startswith("line ") == 20
    assert "... and 130 more" in out and "     150  no valid address" in out
    result = owner("subscribers", "import", file, "--json", *CONSENT, *NOW).json
    assert len(result["problems"]) == result["refused"] == 150


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"PK\x03\x04 and more", "zip"), (b"a,b\n1,2\n", "no column")]
)
def test_a_file_that_is_no_list_is_refused_in_one_line(owner: Owner, content: bytes | None, said: str) -> None:
    file = owner.folder / "people.csv"
    if content is not None:
        file.write_bytes(content)
    refused(owner("subscribers", "import", str(file), *CONSENT), 2, "people.csv", said)


def test_an_import_needs_words_of_consent(owner: Owner) -> None:
    refused(owner("subscribers", "import", _file(owner, LIST), "--consent", ""), 2, "--consent")
    with pytest.raises(SystemExit):
        owner("subscribers", "import", _file(owner, LIST))


def test_an_export_is_for_the_owners_eyes_and_runs_no_formula(owner: Owner) -> None:
    add(owner, "ann@example.com", "--name", "=HYPERLINK(1)")
    file = owner.folder / "out.csv"
    run = owner("subscribers", "export", str(file))
    assert run.out == f"1 person in {file}, which only you can read\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (row,) = csv.DictReader(io.StringIO(file.read_text("utf-8")))
    assert (row["email"], row["name"]) == ("ann@example.com", "'=HYPERLINK(1)")
    printed = owner("subscribers", "export").out
    assert printed.splitlines() == file.read_text("utf-8").splitlines()


def test_an_export_overwrites_nothing(owner: Owner, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("mine", "utf-8")
    refused(owner("subscribers", "export", str(file)), 2, "is there already")
    assert file.read_text("utf-8") == "mine"
    refused(owner("subscribers", "export", str(tmp_path / "no" / "out.csv")), 2, "cannot be written")
    assert "needs a FILE" in owner("subscribers", "export", "--json").err


def test_an_export_can_be_imported_elsewhere(owner: Owner, tmp_path: Path) -> None:
    add(owner, "ann@example.com", "--name", "Ann", "--topics", "safety", "--format", "text")
    file = tmp_path / "out.csv"
    owner("subscribers", "export", str(file))
    before = shown(owner, "ann@example.com")
    owner.database.unlink()
    assert owner("subscribers", "import", str(file), *CONSENT, *NOW).code == 0
    after = shown(owner, "ann@example.com")
    kept = ("address", "name", "state", "topics", "format", "frequency")
    assert [after[key] for key in kept] == [before[key] for key in kept]


def test_the_link_is_that_of_the_persons_mails(owner: Owner) -> None:
    add(owner, "ann@example.com")
    owner("send", "--yes", *NOW)
    link = owner("subscribers", "link", "ann@example.com").out.strip()
    (mail,) = (owner.folder / "data" / "outbox").rglob("*.eml")
    token = link.rpartition("/p/")[2]
    assert link.startswith("https://newsletter.example.com/p/p.1.")
    assert token in mail.read_text("utf-8").replace("=\n", "")


def test_no_address_and_no_token_goes_into_a_log(owner: Owner, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        add(owner, "ann@example.com")
        for words in (("list",), ("link", "ann@example.com"), ("suppress", "ann@example.com")):
            owner("subscribers", *words)
        owner("subscribers", "import", _file(owner, LIST), *CONSENT)
    assert "@example.com" not in caplog.text
    assert "p.1." not in caplog.text


def test_letters_that_wait_or_failed_are_listed_with_why(owner: Owner) -> None:
    assert owner("subscribers", "letters").out == "No letter waits, and none failed in the last week.\n"
    owner("fetch", *NOW)
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        for name in ("ann", "bob"):
            letter = Letter("confirm", f"{name}@example.com", {"url": "https://example.com/c/secret"})
            subscribers.post_letter(session, letter, now=DAY)
        (claimed,) = subscribers.claim_letters(session, "x", 1, now=DAY, real_now=DAY)
        subscribers.letter_failed(session, claimed.id, "no such mailbox")
    store.close()
    run = owner("subscribers", "letters")
    assert run.out.splitlines() == [
        "2026-05-29 07:00 UTC  planned   confirm   bob@example.com; next try 2026-05-29 07:00 UTC",
        "2026-05-29 07:00 UTC  failed    confirm   ann@example.com: no such mailbox",
    ]
    assert "whoever asked for it can ask again" in run.err
    found = owner("subscribers", "letters", "--limit", "1", "--json")
    assert [(one["address"], one["state"]) for one in found.json["letters"]] == [("bob@example.com", "planned")]
    assert "secret" not in run.out + found.out
    assert owner("subscribers", "letters", "--limit", "0").code == 2
