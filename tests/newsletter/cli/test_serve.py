"""`newsletter serve` as an owner runs it, and corrections as a visitor then sees them."""

from __future__ import annotations

import email
import email.policy
import json
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email.message import EmailMessage

import httpx
import pytest

from newsletter.config import Config
from newsletter.pipeline import sender
from tests.newsletter.cli.conftest import Owner, told
from tests.newsletter.makers import DAY
from tests.newsletter.web.test_hooks import PUBLIC, signature

NOW = ("--now", DAY.isoformat())


@contextmanager
def _serving(owner: Owner) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server in a process of its own, and the process."""
    with owner.started("serve", "--port", "0", "--json") as process:
        yield told(process)["url"], process


def test_pages_are_served_until_the_server_is_told_to_stop(owner: Owner) -> None:
    owner("send", "--yes", *NOW)
    with _serving(owner) as (url, process):
        answer = httpx.get(f"{url}issues/1")
        assert answer.status_code == 200 and "29 May 2026" in answer.text
        assert "server" not in answer.headers
        head = httpx.head(f"{url}issues/1")
        assert (head.content, head.headers["etag"]) == (b"", answer.headers["etag"])
        first = _pieces(owner)[0]
        owner("issues", "correct", "1", str(first), "--note", "It was 12, not 21.", *NOW)
        assert "It was 12, not 21." in httpx.get(f"{url}issues/1").text
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0 and "Traceback" not in err and "issues/1" not in err


@pytest.mark.slow
def test_reports_of_sendgrid_are_taken_where_pages_are_served(owner: Owner) -> None:
    assert owner("subscribers", "add", "ann@example.com", "--consent", "by phone", *NOW).code == 0
    owner.configure("/one.xml", extra=f'[delivery]\nwebhook_key = "{PUBLIC}"\n')
    owner("send", "--yes", *NOW)
    list_id = sender(Config()).list_id
    report = {"event": "bounce", "type": "bounce", "key": "1-1", "list": list_id, "email": "ann@example.com"}
    body = json.dumps([{**report, "timestamp": int(time.time()), "sg_event_id": "e1"}]).encode()
    with _serving(owner) as (url, _):
        assert httpx.post(f"{url}hooks/sendgrid", content=body).status_code == 403
        headers = signature(body, int(time.time()))
        assert httpx.post(f"{url}hooks/sendgrid", content=body, headers=headers).status_code == 200
    assert "1 bounced" in owner("status").out
    assert owner("deliveries", "list", "1", "--state", "bounced", "--json").json["deliveries"][0]["key"] == "1-1"
    assert owner("subscribers", "show", "ann@example.com", "--json").json["suppressed"] == ["hard_bounce"]


def test_a_port_that_is_taken_is_said_in_one_line(owner: Owner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = owner("serve", "--port", str(taken.getsockname()[1]))
    assert run.code == 3 and "choose another with --host and --port" in run.err and run.err.count("\n") == 1
    assert owner("serve", "--port", "70000").code == 2


def test_a_correction_by_command_says_where_it_is_seen(owner: Owner) -> None:
    owner("send", "--yes", *NOW)
    first, second = _pieces(owner)[:2]
    run = owner("issues", "correct", "1", str(first), "--withdraw", "--note", "As its author wished.", *NOW)
    assert run.code == 0 and "https://newsletter.example.com/issues/1" in run.out
    result = owner("issues", "correct", "1", str(second), "--note", " A  note. ", "--json", *NOW).json
    assert (result["kind"], result["note"]) == ("note", "A note.")


@pytest.mark.parametrize("words", [("1", "1"), ("1", "999", "--withdraw"), ("9", "1", "--withdraw")])
def test_a_correction_that_cannot_be_made_is_refused_in_one_line(owner: Owner, words: tuple[str, ...]) -> None:
    owner("send", "--yes", *NOW)
    run = owner("issues", "correct", *words, *NOW)
    assert run.code == 2 and run.err.count("\n") == 1


@pytest.mark.slow
def test_who_subscribes_finds_the_confirmation_in_their_mail_and_its_link_works(owner: Owner) -> None:
    with _serving(owner) as (url, process):
        assert _subscribe(url).status_code == 200
        assert _soon(lambda: len(_mails(owner)) == 1)
        (mail,) = _mails(owner)
        assert (mail["To"], mail["List-Unsubscribe"]) == ("Ann@example.com", None)
        link = f"{url}c/{_token(mail)}"
        assert httpx.post(link, data={"confirm": "yes"}).status_code == 200
        assert _soon(lambda: len(_mails(owner)) == 2)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0 and err.count("Serving on") == 1
    assert [word for word in ("Traceback", "example.com/c/", "Ann", _token(mail)) if word in err] == []
    assert [mail["Subject"].partition(":")[0] for mail in _mails(owner)][1:] == ["You are on the list"]
    assert owner("subscribers", "list", "--json").json["subscribers"][0]["state"] == "active"


@pytest.mark.slow
def test_a_letter_outlives_a_kill_right_after_the_answer_that_promised_it(owner: Owner) -> None:
    with _serving(owner) as (url, process):
        assert _subscribe(url).status_code == 200
        process.kill()
        process.wait()
    assert len(_states(owner)) == 1
    # Where the kill came while it was handed over, the lease has to end first.
    with closing(sqlite3.connect(owner.database)) as database, database:
        database.execute("UPDATE letter SET claimed_at = datetime(claimed_at, '-6 minutes') WHERE state = 'handing'")
    with _serving(owner):
        assert _soon(lambda: _states(owner) == ["accepted"])
    assert [mail["To"] for mail in _mails(owner)] == ["Ann@example.com"]


@pytest.mark.slow
def test_letters_that_cannot_go_are_told_in_one_line_and_keep_no_page_from_being_shown(owner: Owner) -> None:
    outbox = owner.folder / "data" / "outbox"
    outbox.parent.mkdir()
    outbox.write_text("a file where the folder should be")
    with _serving(owner) as (url, process):
        assert _subscribe(url).status_code == 200
        assert _soon(lambda: "planned" in _states(owner) and _reason(owner) != "")
        assert httpx.get(f"{url}subscribe").status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    (line,) = (line for line in err.splitlines() if line.startswith("letters wait: "))
    assert "set delivery.outbox" in line
    assert process.returncode == 0 and "Traceback" not in err and "Ann" not in err


def _subscribe(url: str) -> httpx.Response:
    form = {"subscribe": "yes", "address": "Ann@example.com", "follow": "everything", "frequency": "every"}
    return httpx.post(f"{url}subscribe", data=form)


def _mails(owner: Owner) -> list[EmailMessage]:
    """What the outbox holds, in the order of its names."""
    files = sorted((owner.folder / "data" / "outbox").glob("*.eml"))
    parsed = [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]
    return [mail for mail in parsed if isinstance(mail, EmailMessage)]


def _token(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    (link,) = (word for word in body.get_content().split() if "/c/" in word)
    return str(link).rpartition("/c/")[2]


def _states(owner: Owner) -> list[str]:
    with closing(sqlite3.connect(owner.database)) as database:
        return [state for (state,) in database.execute("SELECT state FROM letter")]


def _reason(owner: Owner) -> str:
    with closing(sqlite3.connect(owner.database)) as database:
        (reason,) = database.execute("SELECT reason FROM letter").fetchone()
        return str(reason)


def _soon(is_so: Callable[[], bool]) -> bool:
    """Whether something comes true within some seconds."""
    ends = time.monotonic() + 15
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.02)
    return is_so()


def _pieces(owner: Owner) -> list[int]:
    return [piece["piece"] for piece in owner("issues", "show", "1", "--json").json["pieces"]]
