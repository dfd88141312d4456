"""Mailboxes: by IMAP, as a Maildir and as an mbox file, what is unread is read, marked, and kept."""

from __future__ import annotations

import mailbox
from contextlib import closing
from pathlib import Path

import pytest

from newsletter.events.mailboxes import LONGEST_MAIL, Away, BadMailbox, open_mailbox
from tests.newsletter.events.imap import PASSWORD, ImapServer
from tests.newsletter.events.mails import mail

FIRST, SECOND = mail("Subject: first"), mail("Subject: second")


def _all(place: str, password: str = "", *, finish: bool = False, delete: bool = False) -> list[bytes]:
    with open_mailbox(place, password) as box:
        names = list(box.names())
        found = [box.fetch(name) for name in names]
        if finish:
            box.finish(names[:1], delete=delete)
    return found


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """A Maildir with a new mail and one that a client has seen the name of."""
    folder = tmp_path / "Maildir"
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    (folder / "new" / "1.a.host").write_bytes(FIRST)
    (folder / "cur" / "2.b.host:2,R").write_bytes(SECOND)
    (folder / "cur" / "0.c.host:2,FS").write_bytes(b"read already")
    (folder / "tmp" / "3.d.host").write_bytes(b"not there yet")
    return folder


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_maildirs_unread_mails_are_read_and_marked_by_their_names(maildir: Path) -> None:
    assert _all(str(maildir)) == [FIRST, SECOND]
    assert _all(str(maildir), finish=True) == [FIRST, SECOND]
    assert _all(str(maildir)) == [SECOND]
    assert _files(maildir) == ["cur/0.c.host:2,FS", "cur/1.a.host:2,S", "cur/2.b.host:2,R", "tmp/3.d.host"]
    with closing(mailbox.Maildir(maildir, create=False)) as box:
        assert {message["Subject"]: message.get_flags() for message in box if message["Subject"]} == {
            "first": "S",
            "second": "R",
        }


def test_a_mail_is_deleted_when_that_is_asked(maildir: Path) -> None:
    _all(str(maildir), finish=True, delete=True)
    assert "new/1.a.host" not in _files(maildir) and len(_files(maildir)) == 3


def test_a_mail_that_another_program_took_away_is_no_error(maildir: Path) -> None:
    with open_mailbox(str(maildir)) as box:
        names = list(box.names())
        (maildir / "new" / "1.a.host").unlink()
        box.finish(names, delete=False)


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    """An mbox file with two mails."""
    file = tmp_path / "mbox"
    with closing(mailbox.mbox(file)) as box:
        for data in (FIRST, SECOND):
            box.add(data)
    return file


def _subjects(mails: list[bytes]) -> list[bytes]:
    return [data.splitlines()[0] for data in mails]


def test_an_mbox_is_read_whole_and_not_written_to(mbox: Path) -> None:
    before = mbox.read_bytes()
    for _ in range(2):
        assert _subjects(_all(str(mbox), finish=True)) == [b"Subject: first", b"Subject: second"]
    assert mbox.read_bytes() == before


def test_mails_of_an_mbox_are_deleted_when_that_is_asked(mbox: Path) -> None:
    _all(str(mbox), finish=True, delete=True)
    assert _subjects(_all(str(mbox))) == [b"Subject: second"]


def test_an_mbox_that_another_program_holds_is_for_later(mbox: Path) -> None:
    with closing(mailbox.mbox(mbox)) as other:
        other.lock()
        with pytest.raises(Away, match="try later"):
            _all(str(mbox), finish=True, delete=True)
        other.unlock()


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 AUTH=PLAIN UIDPLUS", "IMAP4rev1"])
def test_unread_mails_on_a_server_are_read_and_marked(capabilities: str) -> None:
    with ImapServer({1: FIRST, 7: SECOND}, capabilities) as server:
        assert _all(server.url, PASSWORD) == [FIRST, SECOND]
        assert server.flags == {}
        _all(server.url, PASSWORD, finish=True)
        assert _all(server.url, PASSWORD) == [SECOND]
        assert server.flags == {1: {r"\Seen"}} and list(server.mails) == [1, 7]


def test_a_server_deletes_when_that_is_asked_and_only_what_is_ours() -> None:
    for capabilities, left in (("IMAP4rev1 UIDPLUS", [7]), ("IMAP4rev1", [1, 7])):
        with ImapServer({1: FIRST, 7: SECOND}, capabilities) as server:
            _all(server.url, PASSWORD, finish=True, delete=True)
            assert list(server.mails) == left and r"\Deleted" in server.flags[1]
            assert not [command for command in server.commands if command == "EXPUNGE"]


def test_a_password_may_have_any_letter() -> None:
    secret = "p\N{LATIN SMALL LETTER E WITH ACUTE}"
    with ImapServer({1: FIRST}, password=secret) as server:
        assert _all(server.url, secret) == [FIRST]
    with ImapServer({1: FIRST}, "IMAP4rev1", secret) as server, pytest.raises(BadMailbox, match="ASCII"):
        _all(server.url, secret)


def test_a_long_mail_is_read_to_the_limit() -> None:
    with ImapServer({1: b"x" * (LONGEST_MAIL + 9)}) as server:
        assert [len(data) for data in _all(server.url, PASSWORD)] == [LONGEST_MAIL]


def test_what_is_wrong_is_said_without_the_password() -> None:
    with ImapServer({}) as server:
        for place, password, why in (
            (server.url, "wrong", "not that"),
            (server.url, "", "NEWSLETTER_MAILBOX_PASSWORD is not set"),
            (server.url.replace("INBOX", "Other"), PASSWORD, "no mailbox Other"),
            ("imap://127.0.0.1/INBOX", PASSWORD, "imaps://user@host/INBOX"),
            ("imaps://a%0d%0ab@127.0.0.1/INBOX", PASSWORD, "imaps://user@host/INBOX"),
        ):
            with pytest.raises(BadMailbox, match=why) as caught:
                _all(place, password)
            assert "wrong" not in str(caught.value) and PASSWORD not in str(caught.value)


def test_a_server_that_is_away_or_hangs_up_is_for_later() -> None:
    with ImapServer({1: FIRST}, hang_up_at="UID FETCH") as server, pytest.raises(Away, match="try later"):
        _all(server.url, PASSWORD)
    with pytest.raises(Away, match="try later"):
        _all(server.url, PASSWORD)


# Python's imaplib leaves the socket to the collector when TLS fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_without_tls_is_not_spoken_to_in_the_clear() -> None:
    with ImapServer({}) as server, pytest.raises(Away, match="try later"):
        _all(server.url.replace("imap:", "imaps:"), PASSWORD)


def test_a_place_that_is_no_mailbox_is_said(tmp_path: Path) -> None:
    for place in (str(tmp_path), str(tmp_path / "none"), "http://example.com/"):
        with pytest.raises(BadMailbox, match="no Maildir, no mbox file"):
            open_mailbox(place)
