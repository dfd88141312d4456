"""Facts about importing lists: nobody revived, no good line lost, every other line told."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session
from sqlmodel import SQLModel, col

from subscribers import audience, imports, people, preferences, suppression
from subscribers.imports import NotAList, Plan, Problem, Progress, Report
from subscribers.tables import Consent, Format, Frequency, Kind, Pepper, State, Subscriber
from tests.subscribers.conftest import NOW, added

PLAN = Plan("They ticked the box on the old site.", {"safety": "Safety", "theory": "Theory and methods"})
Importer = Callable[..., Report]


@pytest.fixture
def importing(engine: Engine, tmp_path: Path) -> Importer:
    """Imports a file of that content."""

    def run(content: str | bytes, *, plan: Plan = PLAN, dry_run: bool = False) -> Report:
        file = tmp_path / "list.csv"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return imports.run(lambda: Session(engine), file, plan, now=NOW, dry_run=dry_run)

    return run


def everyone(session: Session) -> list[str]:
    return sorted(session.scalars(select(col(Subscriber.address))))


def one(session: Session) -> Subscriber:
    return session.scalars(select(Subscriber)).one()


def lines_of(report: Report) -> list[int]:
    return [problem.line for problem in report.problems if not problem.taken]


def adds_up(report: Report) -> bool:
    parts = (report.added, report.known, report.duplicates, report.left, report.barred, report.refused)
    return report.lines == sum(parts)


def test_a_list_comes_in_with_names_preferences_and_proof(importing: Importer, session: Session) -> None:
    report = importing(
        "Email Address,First Name,Last Name,Topics,Frequency,Format,Time-Zone,OPTIN_TIME,OPTIN_IP,Consent\n"
        "Ann@Example.com,Ann,Lee,safety; Theory and Methods,Weekly,text,Europe/Berlin,2024-03-01 10:00:00,"
        "192.0.2.7,Yes please\n"
    )
    assert (report.lines, report.added, report.problems, report.notices) == (1, 1, [], ())
    ann = one(session)
    assert (ann.address, ann.identity, ann.name) == ("Ann@example.com", "ann@example.com", "Ann Lee")
    assert (ann.state, ann.state_reason, ann.created_at) == (State.ACTIVE, "import", NOW)
    wish = preferences.get(ann)
    assert (wish.topics, wish.frequency) == (frozenset({"safety", "theory"}), Frequency.WEEKLY)
    assert (wish.format, wish.time_zone) == (Format.TEXT, "Europe/Berlin")
    consent = session.scalars(select(Consent)).one()
    assert consent.at == ann.confirmed_at == dt.datetime(2024, 3, 1, 10, tzinfo=dt.UTC)
    assert consent.text == f"{PLAN.consent_text}\nYes please"
    assert (consent.subscriber_id, consent.how, consent.address) == (ann.id, "import", "Ann@example.com")
    assert consent.network == "192.0.2.7"


def test_people_who_come_in_are_mailable_unless_they_have_to_confirm(importing: Importer, session: Session) -> None:
    importing("email\nann@example.com\n")
    importing("email\nbob@example.com\n", plan=Plan("x", active=False))
    mailable = select(col(Subscriber.address)).where(audience.mailable(NOW))
    assert list(session.scalars(mailable)) == ["ann@example.com"]
    assert people.page(session, state=State.PENDING)[0].confirmed_at is None


def test_who_comes_in_by_import_is_found_by_every_rule(importing: Importer, session: Session) -> None:
    importing("email\nAnn@example.com\n")
    ann = one(session)
    assert ann.identity_hash == suppression.hasher(session)("ann@example.com")
    people.unsubscribe(session, ann.id, now=NOW)
    session.commit()
    assert importing("email\nANN@example.com\n").left == 1


def test_nobody_who_left_bounced_or_complained_is_revived(importing: Importer, session: Session) -> None:
    for kind in Kind:
        people.suppress_subscriber(session, added(session, f"{kind}@example.com").id, kind, now=NOW)
    for kind in Kind:
        people.suppress(session, f"only.{kind}@example.com", kind, now=NOW)
    people.erase(session, added(session, "gone@example.com").id, now=NOW)
    people.unsubscribe(session, added(session, "left@example.com").id, now=NOW)
    added(session, "pending@example.com", active=False)
    added(session, "active@example.com")
    session.commit()
    before = session.execute(select(suppression.table_of(Subscriber))).all()
    addresses = [f"{prefix}{kind}@example.com" for kind in Kind for prefix in ("", "only.")]
    others = [f"{name}@example.com" for name in ("gone", "left", "pending", "active")]
    report = importing("email\n" + "\n".join(address.upper() for address in [*addresses, *others]))
    session.expire_all()
    assert session.execute(select(suppression.table_of(Subscriber))).all() == before
    assert (report.added, report.known, report.left, report.barred) == (0, 2, 6, 6)
    assert adds_up(report)


@pytest.mark.parametrize("state", ["unsubscribed", "cleaned", "pending", "", "0", "bounced", "suppressed"])
def test_a_row_whose_own_state_is_no_readers_is_refused(importing: Importer, state: str) -> None:
    report = importing(f"email,name,status\nann@example.com,Ann,{state}\nbob@example.com,Bob,Subscribed\n")
    assert (report.added, report.refused, lines_of(report)) == (1, 1, [2])


def test_a_row_too_short_for_its_state_is_refused(importing: Importer) -> None:
    assert importing("email,status\nann@example.com\n").refused == 1


def test_spellings_of_one_address_come_in_once(importing: Importer, session: Session) -> None:
    report = importing(
        "email\nJ\u00f6rg@example.com\njo\u0308rg@example.com\nJ\u00d6RG@EXAMPLE.COM\nann@b\u00fccher.example.com\n"
        "ann@xn--bcher-kva.example.com\n"
    )
    assert everyone(session) == ["J\u00f6rg@example.com", "ann@xn--bcher-kva.example.com"]
    assert (report.added, report.duplicates, lines_of(report)) == (2, 3, [3, 4, 6])


def test_a_second_run_changes_nothing(importing: Importer, session: Session) -> None:
    content = "email,name\nann@example.com,Ann\nbob@example.com,Bob\n"
    importing(content)
    again = importing(content.replace("Ann", "Mallory"))
    assert (again.added, again.known, again.problems) == (0, 2, [])
    assert [person.name for person in people.page(session)] == ["Ann", "Bob"]
    assert session.scalar(select(func.count()).select_from(Consent)) == 2


def test_a_dry_run_reports_the_same_and_writes_nothing(importing: Importer, session: Session) -> None:
    content = "email\nann@example.com\nANN@example.com\nnonsense\nbob@example.com\n"
    dry = importing(content, dry_run=True)
    counts = [session.scalar(select(func.count()).select_from(table)) for table in (Subscriber, Consent, Pepper)]
    assert counts == [0, 0, 0]
    assert dry == importing(content)


def test_a_dry_run_knows_who_left(importing: Importer, session: Session) -> None:
    people.suppress(session, "ann@example.com", Kind.COMPLAINT, now=NOW)
    session.commit()
    assert importing("email\nann@example.com\n", dry_run=True).barred == 1


GOOD = ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("nonsense", "no valid address"),
        ("a\x00nn@example.com", "control character"),
        ("a" * 65 + "@example.com", "longer than 64"),
        ('"ann@example.com,dan@example.com"', "several addresses"),
        ("carl@example.com; dan@example.com", "several addresses"),
        ("carl@localhost", "no valid address"),
        ('"carl@example.com\n"', "control character"),
        ("Carl <carl@example.com> x", "no valid address"),
        ('"a,b', "quote"),
        ("x" * 70_000 + "@example.com", "longer than"),
        ("carl@exam\ufffdple.com", "control character"),
    ],
)
def test_a_bad_line_is_told_and_costs_no_good_one(importing: Importer, session: Session, bad: str, reason: str) -> None:
    report = importing(f"email,name\n{GOOD[0]},Ann\n{bad}\n{GOOD[1]},Bob\n")
    assert everyone(session) == GOOD
    assert (report.refused, lines_of(report)) == (1, [3])
    assert reason in report.problems[0].reason
    assert "carl" not in report.problems[0].reason


@pytest.mark.parametrize(
    ("line", "address", "name"),
    [
        ("Carl Lee <carl@example.com>,", "carl@example.com", "Carl Lee"),
        ('"""Lee, Carl"" <carl@example.com>",', "carl@example.com", "Lee, Carl"),
        ("<carl@example.com>,Carl", "carl@example.com", "Carl"),
        (" carl@example.com ,  Carl  Lee ", "carl@example.com", "Carl Lee"),
        ("carl@example.com", "carl@example.com", ""),
        ("carl@example.com,Carl,,,", "carl@example.com", "Carl"),
        ('carl@example.com,"=HYPERLINK(""x"")"', "carl@example.com", '=HYPERLINK("x")'),
        ("carl@example.com,'=1+1", "carl@example.com", "=1+1"),
        ("'+carl@example.com,O'Neil", "+carl@example.com", "O'Neil"),
        ("carl@example.com,<script>", "carl@example.com", "<script>"),
    ],
)
def test_odd_but_good_lines_come_in(importing: Importer, session: Session, line: str, address: str, name: str) -> None:
    report = importing(f"email,name\n{line}\n")
    assert report.problems == []
    assert (one(session).address, one(session).name) == (address, name)


@pytest.mark.parametrize(
    ("header", "line", "note"),
    [
        ("email,name", "carl@example.com,Ca\x00rl", "name"),
        ("email,name", 'carl@example.com,"Carl\nLee"', "name"),
        ("email,name", "carl@example.com," + "x" * 10_000, "name"),
        ("email,name", "carl@example.com,Carl,more", "more cells"),
        ("email,topics", "carl@example.com,safety|unheard of", "topic"),
        ("email,frequency", "carl@example.com,hourly", "frequency"),
        ("email,format", "carl@example.com,pdf", "format"),
        ("email,timezone", "carl@example.com,Mars/Olympus", "time zone"),
        ("email,date", "carl@example.com,03/04/2024", "date"),
        ("email,date", "carl@example.com,0001-01-01T00:00:00+14:00", "date"),
        ("email,ip", "carl@example.com,localhost", "network"),
    ],
)
def test_what_cannot_be_used_of_a_good_line_is_left_out_and_told(
    importing: Importer, session: Session, header: str, line: str, note: str
) -> None:
    report = importing(f"{header}\n{line}\n{GOOD[0]},\n")
    assert (report.added, report.noted, report.refused) == (2, 1, 0)
    assert [(problem.line, problem.taken) for problem in report.problems] == [(2, True)]
    assert note in report.problems[0].reason
    assert everyone(session) == [GOOD[0], "carl@example.com"]


def test_a_date_that_cannot_be_read_is_kept_beside_the_consent(importing: Importer, session: Session) -> None:
    importing("email,date\nann@example.com,03/04/2024\n")
    consent = session.scalars(select(Consent)).one()
    assert (consent.at, consent.text.splitlines()[1]) == (NOW, "Date in the file: 03/04/2024")


@pytest.mark.parametrize("cell", ["2024-05-01", "20240501", "01.05.2024", "2024/05/01", "2024-05-01T02:00:00+02:00"])
def test_dates_that_mean_one_thing_are_read(importing: Importer, session: Session, cell: str) -> None:
    importing(f"email,date\nann@example.com,{cell}\n")
    assert session.scalars(select(Consent)).one().at == dt.datetime(2024, 5, 1, tzinfo=dt.UTC)


def test_a_consent_from_the_future_is_none(importing: Importer) -> None:
    report = importing("email,date\nann@example.com,2031-01-01\nbob@example.com,2026-05-04 12:00\n")
    assert (report.added, lines_of(report)) == (1, [2])
    assert report.problems[0].reason == "its date lies in the future"


def test_a_row_of_which_no_topic_exists_is_refused_and_an_empty_one_is_everything(
    importing: Importer, session: Session
) -> None:
    report = importing("email,topics\nann@example.com,cooking\nbob@example.com,\ncarl@example.com,none\n")
    assert (report.refused, report.problems[0].reason) == (1, "none of its topics exists here")
    assert [person.follows for person in people.page(session)] == ["*", ""]


def test_a_pause_comes_in_with_the_person(importing: Importer, session: Session) -> None:
    report = importing("email,paused_until\nann@example.com,2026-09-01\nbob@example.com,soon\n")
    assert (report.added, report.refused) == (1, 1)
    assert people.state_at(one(session), NOW) is State.PAUSED


def test_without_a_header_the_addresses_are_found(importing: Importer, session: Session) -> None:
    report = importing("1,ann@example.com,Ann\n2,bob@example.com,Bob\n")
    assert everyone(session) == GOOD
    assert "no header" in report.notices[0]


def test_under_an_unknown_header_the_addresses_are_found(importing: Importer, session: Session) -> None:
    report = importing("Nr;Kontakt;Name\n1;ann@example.com;Ann\n2;bob@example.com;Bob\n")
    assert everyone(session) == GOOD
    assert "column 2 ('Kontakt')" in report.notices[0]
    assert [person.name for person in people.page(session)] == ["Ann", "Bob"]


def test_a_column_that_is_not_known_is_named(importing: Importer) -> None:
    assert importing("email,shoe size\nann@example.com,43\n").notices == (
        "column 'shoe size' is not known and not used",
    )


@pytest.mark.parametrize("content", ["email,name\n", "email", "\ufeffemail;name\r\n"])
def test_a_header_alone_is_a_list_of_nobody(importing: Importer, content: str) -> None:
    assert importing(content).lines == 0


def test_an_empty_file_says_so(importing: Importer) -> None:
    report = importing("")
    assert (report.lines, report.notices) == (0, ("the file is empty",))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(3000), "no column"),
        (b"PK\x03\x04" + bytes(500), "save it as CSV"),
        (b"<!doctype html><title>Log in</title>\n<p>Hello", "no column"),
        (b"\n\n\n", "nothing"),
        (b"name,age\nAnn,42\n", "no column"),
    ],
)
def test_what_is_no_list_is_refused_as_a_whole(importing: Importer, content: bytes, reason: str) -> None:
    with pytest.raises(NotAList, match=reason):
        importing(content)


def test_a_line_of_many_megabytes_costs_itself_alone(importing: Importer, session: Session) -> None:
    long = b"x" * 20_000_000
    report = importing(b"\n".join([long, b"email,name", b"ann@example.com,Ann", long, b"bob@example.com,Bob"]))
    assert everyone(session) == GOOD
    assert (report.lines, lines_of(report)) == (4, [1, 4])


def test_an_import_needs_the_words_that_people_agreed_to() -> None:
    with pytest.raises(ValueError, match="agreed"):
        Plan(" ")


def test_reasons_are_counted_and_problems_kept_in_bounds(engine: Engine, tmp_path: Path) -> None:
    file, told = tmp_path / "list.csv", list[Problem]()
    file.write_text("email\nann@example.com\n" + "".join(f"bad {number}\n" for number in range(300)))
    report = imports.run(lambda: Session(engine), file, PLAN, now=NOW, on_problem=told.append)
    assert (len(report.problems), len(told), report.refused) == (imports.MOST_PROBLEMS, 300, 300)
    assert sum(report.reasons.values()) == 300
    assert adds_up(report)


def test_progress_goes_to_the_end_of_the_file(engine: Engine, tmp_path: Path) -> None:
    file, told = tmp_path / "list.csv", list[Progress]()
    write_list(file, imports.BATCH + 7)
    imports.run(lambda: Session(engine), file, PLAN, now=NOW, on_progress=told.append)
    assert [progress.lines for progress in told] == [imports.BATCH, imports.BATCH + 7]
    assert told[-1].bytes_read == told[-1].bytes_total == file.stat().st_size


def write_list(file: Path, size: int) -> None:
    rows: Iterable[str] = (f"u{number}@example.com,User {number}\n" for number in range(size))
    with file.open("w") as lines:
        lines.write("email,name\n")
        lines.writelines(rows)


KILLED = """
import datetime as dt, sys
from pathlib import Path
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from subscribers import imports
engine = create_engine(sys.argv[1])
imports.run(
    lambda: Session(engine), Path(sys.argv[2]), imports.Plan("They agreed."), now=dt.datetime.now(dt.UTC),
    on_progress=lambda progress: print(progress.lines, flush=True),
)
"""


@pytest.mark.slow
def test_a_second_run_completes_one_that_was_killed(engine: Engine, session: Session, tmp_path: Path) -> None:
    file, size = tmp_path / "list.csv", imports.BATCH * 3
    write_list(file, size)
    arguments = [sys.executable, "-c", KILLED, str(engine.url), str(file)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=root, env={**os.environ}) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    there = len(everyone(session))
    assert 0 < there < size
    session.rollback()
    report = imports.run(lambda: Session(engine), file, PLAN, now=NOW)
    assert (report.known, report.added) == (there, size - there)
    assert len(everyone(session)) == size
    assert session.scalar(select(func.count()).select_from(Consent)) == size


def test_tables_of_people_are_those_that_the_tests_make() -> None:
    names = {"subscriber", "consent", "suppression", "pepper"}
    assert names <= set(SQLModel.metadata.tables)
