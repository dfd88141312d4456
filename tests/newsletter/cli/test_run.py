"""`newsletter run`: what is due goes out by itself, and a stop is a stop."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from email import message_from_bytes, policy
from typing import Any

import pytest

import subscribers
from newsletter import issues
from newsletter.cli import parser
from newsletter.cli._workshop import Workshop
from newsletter.cli.run import hands_of
from newsletter.deliveries import Clocks
from newsletter.scheduler import Bell, Keeper
from newsletter.sending import Halt
from newsletter.store import open_store
from newsletter.values import SummaryKind
from subscribers import Frequency, Letter
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.fake_claude import FakeClaude, hangs, lavish, refusal
from tests.newsletter.fake_sendgrid import KEY, FakeSendGrid
from tests.newsletter.feeds import Answer
from tests.newsletter.mailserver import MailServer
from tests.newsletter.makers import DAY

AT = ("--now", DAY.isoformat())
"""Seven in the morning, the time of the slot."""
SCHEDULE = '[selection]\nmax_per_source = 5\n[schedule]\ncron = "0 7 * * *"\n'


@pytest.fixture
def reader(owner: Owner) -> Owner:
    """An owner with one reader."""
    assert owner("subscribers", "add", "ann@example.com", "--consent", "by phone", *AT).code == 0
    return owner


def mails(owner: Owner) -> list[str]:
    """The subjects of what went out, in the order in which it did."""
    files = sorted((owner.folder / "data" / "outbox").glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
    return [str(message_from_bytes(file.read_bytes(), policy=policy.default)["Subject"]) for file in files]


def test_once_makes_the_issue_of_the_slot_and_hands_it_over_and_then_nothing_more(reader: Owner) -> None:
    run = reader("run", "--once", *AT)
    assert run.code == 0, run.err
    assert "issue 1 is out: AI Research Digest \N{EM DASH} 29 May 2026" in run.out
    assert "issue 1: 1 accepted" in run.out
    assert len(mails(reader)) == 1
    again = reader("run", "--once", *AT)
    assert (again.code, again.out) == (0, "") and len(mails(reader)) == 1


def test_what_the_owner_sent_by_hand_is_the_days_issue(reader: Owner) -> None:
    assert reader("send", "--yes", *AT).code == 0
    assert reader("run", "--once", *AT).out == ""
    assert len(mails(reader)) == 1


def test_after_the_scheduled_issue_nothing_is_sent_by_hand_on_that_day(reader: Owner) -> None:
    reader("run", "--once", *AT)
    run = reader("send", "--yes", *AT)
    assert run.out.splitlines()[-1] == "No issue: today's issue 1 is out already."


def test_a_day_without_news_is_no_failure(reader: Owner) -> None:
    reader.site.feed("/one.xml", [])
    reader.site.feed("/one.xml", [reader.site.item(1)])
    run = reader("run", "--once", *AT)
    assert run.code == 0
    assert "no issue of Fri 29 May 07:00 UTC: 1 of 1 candidates is worth sending" in run.out


def test_once_without_a_source_that_answers_asks_to_be_tried_later(reader: Owner) -> None:
    reader.site.answers["/one.xml"] = Answer(b"no", 500)
    run = reader("run", "--once", "--json", *AT)
    assert run.code == 75
    assert run.json["failed"] == ["no issue: there is nothing new; none of 1 sources could be read"]
    assert run.json["coming"] == ["next issue: Sat 30 May 07:00 UTC"]


def test_a_clock_that_stands_is_refused_for_one_that_stays(reader: Owner) -> None:
    assert reader("run", *AT).code == 2


def test_with_approval_required_the_issue_waits_for_the_owner(reader: Owner) -> None:
    reader.configure(
        "/one.xml", extra=f'{SCHEDULE}approval = "required"\n[newsletter]\nowner_address = "me@example.com"'
    )
    run = reader("run", "--once", *AT)
    assert "issue 1 waits for `newsletter issues approve 1`, until Fri 29 May 19:00 UTC" in run.out
    assert mails(reader) == []
    refused = reader("send", "--yes", *AT)
    assert refused.code == 5 and "`newsletter issues approve 1`" in refused.err
    reader("run", "--once", *AT)
    assert [subject.partition("?")[0] for subject in mails(reader)] == ["Send it"]
    assert reader("issues", "approve", "1", *AT).code == 0
    reader("run", "--once", *AT)
    assert len(mails(reader)) == 2


def test_an_approved_draft_goes_out_as_it_was_approved_whatever_came_since(reader: Owner) -> None:
    reader.configure("/one.xml", extra=f'{SCHEDULE}approval = "required"')
    reader("run", "--once", *AT)
    titles = reader("issues", "show", "1", "--json").json["pieces"]
    reader("issues", "approve", "1", *AT)
    reader.site.feed("/one.xml", [reader.site.item(n) for n in range(1, 30)])
    reader("fetch", *AT)
    assert reader("build", "--json", *AT).json["changed"] is False
    run = reader("run", "--once", *AT)
    assert "issue 1 is out" in run.out
    assert reader("issues", "show", "1", "--json").json["pieces"] == titles


def test_a_draft_that_the_owner_changed_needs_the_approval_again(reader: Owner) -> None:
    reader.configure("/one.xml", extra=f'{SCHEDULE}approval = "required"')
    reader("run", "--once", *AT)
    reader("issues", "approve", "1", *AT)
    piece = reader("issues", "show", "1", "--json").json["pieces"][0]["piece"]
    reader("issues", "drop", "1", str(piece), *AT)
    assert "issue 1 waits for" in reader("run", "--once", *AT).out and mails(reader) == []


def test_only_a_draft_can_be_approved(reader: Owner) -> None:
    reader("send", "--yes", *AT)
    run = reader("issues", "approve", "1", *AT)
    assert run.code == 2 and "only a draft can be approved" in run.err


def test_an_issue_of_mostly_excerpts_waits_for_the_owner_when_a_model_is_configured(
    reader: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude(otherwise=refusal) as claude:
        reader.use_claude(claude, monkeypatch)
        run = reader("run", "--once", *AT)
        assert "issue 1 waits for `newsletter issues approve 1`, until Fri 29 May 19:00 UTC: 5 of 5 pieces" in run.out
        assert mails(reader) == []
        assert reader("issues", "approve", "1", *AT).code == 0
        assert "issue 1: 1 accepted" in reader("run", "--once", *AT).out
    assert len(mails(reader)) == 1


def test_a_writer_that_cannot_be_had_is_said_at_the_start_and_not_when_an_issue_is_due(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("NEWSLETTER_WRITING__WRITER", "claude")
    owner.configure("/one.xml", extra='[schedule]\ncron = ""')
    run = owner("run", "--once", *AT)
    assert run.code == 3 and "ANTHROPIC_API_KEY is not set" in run.err


@pytest.mark.slow
def test_each_issue_of_a_run_that_stays_has_a_ceiling_of_its_own(
    reader: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.configure("/one.xml", extra=SCHEDULE)
    now = DAY
    with FakeClaude(otherwise=lavish) as claude:
        # Enough for the pieces of one issue, and not for those of two.
        reader.use_claude(claude, monkeypatch, "max_usd_per_issue = 1.0", "concurrency = 1")
        workshop = Workshop(parser(["run"]).parse_args(["run", "--config", str(reader.folder)]))
        with workshop.store() as store, closing(Bell()) as bell:
            press = replace(workshop.press(store), clocks=Clocks(now=lambda: now, real=lambda: now))
            keeper = Keeper(press, hands_of(workshop, store, press, workshop.provider(), bell, Halt()))
            for day in range(2):
                now = DAY + dt.timedelta(days=day)
                reader.site.feed("/one.xml", [reader.site.item(10 * day + n, now=now) for n in range(1, 9)])
                keeper.tick()
            with store.read() as session:
                kinds = [[entry.summary.kind for entry in issues.load(session, n).pieces] for n in (1, 2)]
    assert kinds == [[SummaryKind.DIGEST] * 5] * 2
    costs = reader("costs", "--json").json
    assert all(0.5 < issue["usd"] <= 1 for issue in costs["issues"]), costs


def change(owner: Owner, address: str, **preferences: Any) -> None:
    """What a reader's own page does."""
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        person = subscribers.find(session, address)
        assert person is not None
        wishes = replace(subscribers.preferences_of(person), **preferences)
        subscribers.set_preferences(session, person, wishes, now=DAY)
    store.close()


def test_weekly_readers_get_a_round_up(reader: Owner) -> None:
    reader.configure("/one.xml", extra=f'{SCHEDULE}weekly = "0 8 * * FRI"\n')
    change(reader, "ann@example.com", frequency=Frequency.WEEKLY)
    run = reader("run", "--once", "--now", "2026-05-29T08:00:00+00:00")
    assert "issue 2 is out: AI Research Digest \N{EM DASH} Week of 23 to 29 May 2026" in run.out
    (subject,) = mails(reader)
    assert subject.endswith("Week of 23 to 29 May 2026")
    listed = reader("issues", "list", "--json").json["issues"]
    assert [(one["issue"], one["kind"]) for one in listed] == [(2, "weekly"), (1, "every")]
    assert reader("preview", "2", "--no-open", "--static", str(reader.folder / "page")).code == 0
    in_issue = {piece["piece"] for piece in reader("issues", "show", "1", "--json").json["pieces"]}
    assert {piece["piece"] for piece in reader("issues", "show", "2", "--json").json["pieces"]} == in_issue


SMTP = """
[delivery]
provider = "smtp"
from_address = "digest@digest.test"
postal_address = "1 Main Street, Anytown"
[web]
base_url = "http://localhost:8000"
[smtp]
host = "127.0.0.1"
security = "none"
port = {port}
[newsletter]
owner_address = "me@example.com"
"""


@pytest.mark.slow
def test_an_issue_and_the_letters_that_wait_go_out_by_smtp(reader: Owner) -> None:
    with MailServer() as server:
        reader.configure("/one.xml", extra=f'{SCHEDULE}approval = "required"\n{SMTP.format(port=server.port)}')
        reader("run", "--once", *AT)
        assert (server.recipients, reader("issues", "approve", "1", *AT).code) == ([], 0)
        run = reader("run", "--once", *AT)
        assert (run.code, server.recipients) == (0, ["ann@example.com", "me@example.com"]), run.err
        assert "issue 1: 1 accepted" in run.out
        reader("run", "--once", *AT)
        assert len(server.taken) == 2
    letter, issue = (message_from_bytes(mail.data, policy=policy.default) for mail in server.taken)
    assert (letter["To"], letter["Auto-Submitted"], letter["List-Id"]) == ("me@example.com", "auto-generated", None)
    assert (issue["To"], issue["List-Unsubscribe-Post"]) == ("ann@example.com", "List-Unsubscribe=One-Click")
    assert not letter.defects and not issue.defects


def test_a_round_up_comes_at_the_readers_own_hour(reader: Owner) -> None:
    extra = f'{SCHEDULE}weekly = "0 8 * * FRI"\n[delivery]\nlocal_hour = 9\n'
    reader.configure("/one.xml", extra=extra)
    change(reader, "ann@example.com", frequency=Frequency.WEEKLY, time_zone="America/New_York")
    run = reader("run", "--once", "--now", "2026-05-29T08:00:00+00:00")
    assert "issue 2 is out" in run.out and mails(reader) == []
    assert reader("run", "--once", "--now", "2026-05-29T12:59:00+00:00").out == ""
    assert "issue 2: 1 accepted" in reader("run", "--once", "--now", "2026-05-29T13:00:00+00:00").out
    (subject,) = mails(reader)
    assert subject.endswith("Week of 23 to 29 May 2026")


@pytest.mark.slow
def test_what_is_in_doubt_goes_out_again_by_itself_only_when_the_owner_says_so(reader: Owner) -> None:
    with MailServer({"END": ["take and drop"]}) as server:
        reader.configure("/one.xml", extra=SCHEDULE + SMTP.format(port=server.port))
        assert "issue 1: 1 in doubt" in reader("run", "--once", *AT).out
        assert reader("run", "--once", *AT).out == "" and len(server.taken) == 1
        again = 'in_doubt = "resend"\nin_doubt_grace_hours = 0\nfrom_address'
        reader.configure("/one.xml", extra=SCHEDULE + SMTP.format(port=server.port).replace("from_address", again))
        assert "issue 1: 1 accepted" in reader("run", "--once", *AT).out
        assert len(server.taken) == 2


def test_a_round_up_goes_out_by_sendgrid_a_call_for_each_edition(
    reader: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bob", "cleo", "dan"):
        reader("subscribers", "add", f"{name}@example.com", "--consent", "by phone", *AT)
    with FakeSendGrid() as service:
        monkeypatch.setenv("SENDGRID_API_KEY", KEY)
        monkeypatch.setenv("SENDGRID_HOST", service.host)
        mail = SMTP.format(port=1).replace('provider = "smtp"', 'provider = "sendgrid"')
        reader.configure("/one.xml", extra=f'{SCHEDULE}weekly = "0 8 * * FRI"\n{mail}')
        for name in ("ann", "bob", "cleo"):
            change(reader, f"{name}@example.com", frequency=Frequency.WEEKLY)
        run = reader("run", "--once", "--now", "2026-05-29T08:00:00+00:00")
        assert run.code == 0, run.err
        assert "issue 2: 3 accepted" in run.out
        # Dan's issue, and one call for the three who get the same round-up.
        assert [len(payload["personalizations"]) for payload in service.payloads] == [1, 3]
        assert sorted(mail.to for mail in service.mails[1:]) == [
            f"{name}@example.com" for name in ("ann", "bob", "cleo")
        ]
        assert all("/u/" in mail.headers["List-Unsubscribe"] and "/p/" in mail.html for mail in service.mails)


def test_a_paused_issue_waits_for_the_owner_and_what_is_too_late_does_too(reader: Owner) -> None:
    reader.configure("/one.xml", extra=f"{SCHEDULE}[delivery]\nlocal_hour = 9\n")
    reader("run", "--once", *AT)
    assert reader("issues", "pause", "1").code == 0
    nine, late = "2026-05-29T09:00:00+00:00", "2026-05-29T21:00:01+00:00"
    assert reader("run", "--once", "--now", nine).out == ""
    assert reader("issues", "resume", "1").code == 0
    assert reader("run", "--once", "--now", late).out == "" and mails(reader) == []
    assert reader("send", "1", "--yes", "--late", "--now", late).code == 0 and len(mails(reader)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_waits_ends_it_with_0(reader: Owner, number: signal.Signals) -> None:
    reader.configure("/one.xml", extra='[schedule]\ncron = "0 0 1 1 *"')
    with reader.started("run") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("next issue: ")
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stdout.read() == "Stopped.\n"


@pytest.mark.slow
def test_a_stop_while_a_source_keeps_it_waiting_ends_it_with_0_within_10_seconds(reader: Owner) -> None:
    reader.site.answers["/slow.xml"] = Answer(b"x", seconds=30)
    reader.configure("/slow.xml", extra='[schedule]\ncron = "* * * * *"')
    file = reader.folder / "newsletter.toml"
    file.write_text(file.read_text().replace("timeout_seconds = 2", "timeout_seconds = 60"))
    with reader.started("run") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("next issue: ")
        time.sleep(1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(12) == 0
        assert time.monotonic() - began < 10


def stopped(process: subprocess.Popen[str]) -> float:
    """Tell a process to stop and wait for its good end. Returns how many seconds that took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    return time.monotonic() - began


def soon(is_so: Callable[[], bool]) -> bool:
    """Whether something comes true within half a minute."""
    ends = time.monotonic() + 30
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.05)
    return is_so()


def publish_today(owner: Owner) -> None:
    """Have the source say something new by the machine's clock."""
    now = dt.datetime.now(dt.UTC)
    owner.site.feed("/one.xml", [owner.site.item(number, now=now) for number in range(1, 9)])


@pytest.mark.slow
def test_a_stop_while_claude_writes_does_not_wait_for_claude(reader: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_today(reader)
    reader.configure("/one.xml", extra=SCHEDULE.replace("0 7 *", "* * *"))
    with FakeClaude(otherwise=hangs) as claude:
        reader.use_claude(claude, monkeypatch)
        with reader.started("run") as process:
            assert soon(lambda: bool(claude.requests))
            # Nine, and what a busy machine adds; Claude would take a minute and more.
            assert stopped(process) < 20
    assert reader("issues", "list", "--json").json["issues"] == []


@pytest.mark.slow
def test_a_stop_ends_the_sending_of_an_issue_and_of_letters_together(reader: Owner) -> None:
    publish_today(reader)
    store = open_store(f"sqlite:///{reader.database}")
    with store.write() as session:
        details = {"url": "https://newsletter.example.com/c/token"}
        subscribers.post_letter(session, Letter("confirm", "bob@example.com", details), now=dt.datetime.now(dt.UTC))
    with MailServer({"END": "take and wait"}) as server:
        reader.configure("/one.xml", extra=SCHEDULE.replace("0 7 *", "* * *") + SMTP.format(port=server.port))
        with reader.started("run") as process:
            assert soon(lambda: server.recipients == ["ann@example.com", "bob@example.com"])
            stopped(process)
            # It came to its own end, before the nine seconds after which it is cut off.
            assert process.stdout is not None and process.stdout.read().endswith("Stopped.\n")
    with store.read() as session:
        assert subscribers.letter_counts(session) == {"handing": 1}
    store.close()
    assert reader("status", "--json").json["issues"][0]["counts"] == {"in_doubt": 1}
