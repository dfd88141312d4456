"""The disk misbehaves: locked, full, read-only, damaged, of another schema. Real files, real processes, real disks.

Small disks are file systems in memory, in a namespace of their own (unshare(1)); where the machine gives none, the
tests that need one say so.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import subscribers
from newsletter import cli
from newsletter.checkup import look_through
from newsletter.config import Config
from newsletter.store import copies, head, open_store
from newsletter.web import application
from scripts.peers import CountingPeer
from scripts.soak import Folder, fresh, prepare
from subscribers import Purpose, Tokens
from tests.newsletter.makers import DAY
from tests.newsletter.store.older import make_newer, make_older
from tests.newsletter.store.test_copies import hole
from tests.newsletter.web.conftest import press_for

ROOT = Path(__file__).resolve().parent.parent
READERS = 300
NOW = ("--now", DAY.isoformat())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newsletter with a draft and its readers."""
    folder = tmp_path_factory.mktemp("newsletter")
    prepare(folder, CountingPeer(delay=0.0), READERS)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Iterator[Folder]:
    """The test's own copy of it, and a provider on loopback that counts."""
    peer = CountingPeer(delay=0.1)
    yield fresh(template, tmp_path / "own", peer)
    peer.close()


def told(folder: Folder, *words: str) -> tuple[int, str]:
    """Run a command in this process, with the provider that writes files: its code, and all that it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main([*words, "--config", str(folder.path), *NOW])
    return code, said.getvalue()


def mails(folder: Folder) -> int:
    """How many mails the provider wrote."""
    return sum(1 for _ in (folder.path / "data" / "outbox").glob("*.eml"))


def says(code: int, said: str, expected: int, *parts: str) -> None:
    """Hold a command's end to one clear line that holds these parts."""
    assert code == expected, said
    lines = [line for line in said.splitlines() if line.startswith("newsletter: ")]
    assert len(lines) == 1 and "Traceback" not in said and "this is a bug" not in said, said
    assert all(part in lines[0] for part in parts), lines[0]


# Locked


@contextmanager
def locked(file: Path, seconds: float) -> Iterator[None]:
    """Another process holds the database for so long."""
    code = (
        "import sqlite3, sys, time; database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(float(sys.argv[2]))"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, file, str(seconds)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        yield
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("seconds", [1.0, pytest.param(30.0, marks=pytest.mark.slow)])
def test_a_command_waits_for_a_database_that_another_process_holds(folder: Folder, seconds: float) -> None:
    with locked(folder.database, seconds):
        began = time.monotonic()
        code, said = told(folder, "subscribers", "add", "new@example.com", "--consent", "asked")
        waited = time.monotonic() - began
    assert (code, "Traceback" in said) == (0, False), said
    assert waited >= seconds - 0.5


@pytest.mark.parametrize("seconds", [1.0, pytest.param(30.0, marks=pytest.mark.slow)])
def test_a_page_waits_too_and_answers_as_ever(folder: Folder, seconds: float) -> None:
    with closing(open_store(f"sqlite:///{folder.database}")) as store:
        press = press_for(store, Config())
        client = TestClient(application(press), raise_server_exceptions=False)
        token = press.tokens.sign(Purpose.UNSUBSCRIBE, 1)
        with locked(folder.database, seconds):
            answer = client.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, answer.text) == (200, "You are unsubscribed.\n")
        with store.read() as session:
            assert subscribers.get(session, 1).state == "unsubscribed"


def test_who_waited_long_enough_is_told_in_one_line(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{folder.database}?timeout=0.2"
    monkeypatch.setenv("NEWSLETTER_DATABASE_URL", url)
    with locked(folder.database, 60):
        code, said = told(folder, "subscribers", "add", "new@example.com", "--consent", "x")
        says(code, said, 75, "another process keeps the database locked", "run the same command again")
        with closing(open_store(url)) as store:
            client = TestClient(application(press_for(store, Config())), raise_server_exceptions=False)
            token = Tokens(("k" * 43,)).sign(Purpose.UNSUBSCRIBE, 1)
            answer = client.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


# Full

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")


def needs_namespaces() -> None:
    """Skip, and say so, where this machine gives nobody a file system of their own."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare: a full or read-only disk was not tried")
    probe = subprocess.run([*NAMESPACE, "mount -t tmpfs tmpfs /mnt"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(
            f"no file systems of one's own here ({probe.stderr.strip()}): a full or read-only disk was not tried"
        )


def on_small_disk(folder: Folder, place: Path, room: int, *commands: str) -> list[tuple[int, str]]:
    """Run command lines of the shell while ``place``, a folder, is a disk with so many bytes of room left.

    What stood in it is on the disk, and after the last command is in it again. In a command, ``newsletter`` is the one
    of the tests, and ``free`` makes room.
    """
    there, result = shlex.quote(str(place)), folder.path / "result.json"
    program = f"{shlex.quote(sys.executable)} -m {' '.join(folder.peer.command)}"
    script = f"""
        cp -a {there} {there}.before
        mount -t tmpfs tmpfs {there}
        cp -a {there}.before/. {there}/
        used=$(du -s -B1 {there} | cut -f1)
        mount -o remount,size=$(( used + {room} + 65536 )) {there}
        head -c 65536 /dev/zero > {there}/filler
        newsletter() {{ {program} "$@" --config {shlex.quote(str(folder.path))}; }}
        free() {{ rm {there}/filler; mount -o remount,size=100M {there}; }}
        """
    for number, command in enumerate(commands):
        said = shlex.quote(f"{folder.path}.{number}.said")
        script += f"""
        set +e
        ( {command} ) > {said} 2>&1
        echo $? >> {said}
        set -e
        """
    script += f"rm -f {there}/filler; rm -r {there}.before; cp -a {there} {there}.after"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **folder.peer.environment}
    ran = subprocess.run([*NAMESPACE, script], env=env, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert not result.exists()
    shutil.rmtree(place)
    Path(f"{place}.after").rename(place)
    texts = [Path(f"{folder.path}.{number}.said").read_text() for number in range(len(commands))]
    return [(int(text.splitlines()[-1]), "\n".join(text.splitlines()[:-1])) for text in texts]


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 40_000, 200_000, 400_000, 600_000])
def test_on_a_full_disk_nothing_is_mailed_that_is_not_recorded(folder: Folder, room: int) -> None:
    needs_namespaces()
    data = folder.path / "data"
    send = f"newsletter send 1 --yes {' '.join(NOW)}"
    first, rest = on_small_disk(folder, data, room, send, f"free; {send}")
    if first[0]:
        says(*first, 3, str(data))
        assert "make room" in first[1] or "is the disk full" in first[1]
    states, counted = folder.states(), folder.peer.taken()
    doubts = {address for address, state in states.items() if state == "in_doubt"}
    assert rest[0] == (4 if doubts else 0), rest
    assert len(states) == READERS and set(states.values()) <= {"accepted", "in_doubt"}
    # Every reader was mailed once, or nobody knows and it is said so; nobody twice.
    assert set(counted.values()) == {1} and set(counted) | doubts == set(states)
    with closing(open_store(f"sqlite:///{folder.database}")) as store:
        assert [one.what for one in look_through(store)] in ([], [COPIED])


COPIED = "this data folder is a copy: it may be older than what was sent since, or the other one may go on"
"""What the witness says of the folder that came off the small disk."""


@pytest.mark.slow
def test_an_outbox_on_a_full_disk_keeps_what_it_took_and_goes_on_when_there_is_room(folder: Folder) -> None:
    needs_namespaces()
    outbox = folder.path / "outbox"
    outbox.mkdir()
    file = folder.path / "newsletter.toml"
    file.write_text(f'[delivery]\nprovider = "files"\noutbox = "{outbox}"\n{file.read_text()}')
    assert isinstance(folder.peer, CountingPeer)
    folder.peer.command = ("newsletter",)
    send = f"newsletter send 1 --yes {' '.join(NOW)}"
    count = f"ls {outbox} | grep -c eml; ls {outbox} | grep -c part"
    first, mails, second = on_small_disk(folder, outbox, 3_000_000, send, count, f"free; {send}")
    says(*first, 5, str(outbox), "No space left on device", "make room or set delivery.outbox")
    full, partial = map(int, mails[1].split())
    assert 0 < full < READERS and partial == 0
    assert second[0] == 0, second
    assert sum(1 for _ in outbox.glob("*.eml")) == READERS
    assert set(folder.states().values()) == {"accepted"}


@pytest.mark.slow
def test_no_backup_is_left_of_one_that_the_disk_did_not_take(folder: Folder) -> None:
    needs_namespaces()
    place = folder.path / "elsewhere"
    place.mkdir()
    backup = f"newsletter db backup {place}"
    first, left, second = on_small_disk(folder, place, 50_000, backup, f"ls -A {place}", f"free; {backup}")
    says(*first, 3, str(place), "make room there, or name another file")
    assert left[1].split() == ["filler"] and second[0] == 0


# Read-only


@pytest.mark.slow
@pytest.mark.parametrize("part", ["data", "data/newsletter.sqlite3"])
def test_a_read_only_folder_or_file_is_said_in_one_line(folder: Folder, part: str) -> None:
    needs_namespaces()
    place = folder.path / part
    program = f"{shlex.quote(sys.executable)} -m {' '.join(folder.peer.command)}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **folder.peer.environment}
    before = folder.database.read_bytes()
    add = "subscribers add x@example.com --consent x"
    for words in ("send 1 --yes", add, "run --once", "serve --port 0"):
        script = f"mount --bind {place} {place}; mount -o remount,bind,ro {place}; exec {program} {words}"
        ran = subprocess.run([*NAMESPACE, script], env=env, cwd=folder.path, capture_output=True, text=True, timeout=60)
        says(ran.returncode, ran.stdout + ran.stderr, 3, str(folder.database), "writable for this user")
    assert folder.peer.taken() == {} and folder.database.read_bytes() == before


# Damaged


def garbage(file: Path) -> None:
    """Write over the header."""
    with file.open("r+b") as handle:
        handle.write(b"this is no database any more, sorry. " * 30)


def truncated(file: Path) -> None:
    """Cut the second half off."""
    os.truncate(file, file.stat().st_size // 2)


WORKING = (("send", "1", "--yes"), ("run", "--once"), ("serve", "--port", "0"))


@pytest.mark.parametrize("damage", [*(pytest.param(one, marks=pytest.mark.slow) for one in (garbage, truncated)), hole])
def test_a_damaged_database_stops_what_mails_and_names_backup_and_mend(folder: Folder, damage: object) -> None:
    assert told(folder, "db", "backup")[0] == 0
    (backup,) = (folder.path / "data" / "backups").iterdir()
    assert callable(damage)
    damage(folder.database)
    before = folder.database.read_bytes()
    for words in WORKING:
        code, said = told(folder, *words)
        says(code, said, 3, "the database is damaged", f"`newsletter db restore {backup}`")
    assert mails(folder) == 0 and folder.database.read_bytes() == before
    code, said = told(folder, "db", "check")
    assert code in (3, 5) and f"newsletter db restore {backup}" in said and "Traceback" not in said
    code, said = told(folder, "db", "restore", str(backup))
    assert code == 0 and "is kept as" in said and "deliveries trust" in said, said
    assert told(folder, "deliveries", "trust")[0] == 0
    assert told(folder, "db", "check")[0] == 0
    assert told(folder, "send", "1", "--yes")[0] == 0 and set(folder.states().values()) == {"accepted"}


def test_damage_without_a_backup_says_that_there_is_none(folder: Folder) -> None:
    garbage(folder.database)
    code, said = told(folder, "status")
    says(code, said, 3, "there is no backup in", "`newsletter db restore FILE`")


# Other schemas


def test_an_older_schema_is_brought_up_to_date_after_a_backup_of_it(folder: Folder) -> None:
    make_older(folder.database)
    code, said = told(folder, "status")
    says(code, said, 3, "has schema 0007, an older one", "`newsletter db migrate`")
    code, said = told(folder, "db", "migrate")
    (backup,) = (folder.path / "data" / "backups").iterdir()
    assert code == 0 and f"has schema {head()} now, before 0007; as it was: {backup}" in said
    assert backup.name.endswith("-schema-0007.sqlite3") and copies.look_into(backup).schema == "0007"
    assert told(folder, "db", "check")[0] == 0
    assert told(folder, "db", "migrate")[1] == f"The schema is up to date: {head()}.\n"
    code, said = told(folder, "db", "restore", str(backup))
    assert code == 0 and told(folder, "db", "check")[0] in (0, 5)


def test_a_newer_schema_is_refused_by_every_command(folder: Folder) -> None:
    make_newer(folder.database)
    before = folder.database.read_bytes()
    for words in (*WORKING, ("status",), ("db", "migrate"), ("db", "check"), ("subscribers", "list")):
        code, said = told(folder, *words)
        says(code, said, 3, str(folder.database), "has schema 9999", "install the newer program again")
    assert folder.database.read_bytes() == before and mails(folder) == 0


# While a sending is at work


@pytest.mark.slow
def test_a_backup_taken_while_a_process_sends_opens_clean_and_is_not_sent_again(folder: Folder) -> None:
    assert isinstance(folder.peer, CountingPeer) and folder.peer.server is not None
    folder.peer.server.delay = 0.7
    sender, made = folder.spawn("send", "1", "--yes"), list[Path]()
    while not folder.peer.taken():
        time.sleep(0.02)
    while sender.poll() is None and len(made) < 4:
        assert told(folder, "db", "backup")[0] == 0
        made += set((folder.path / "data" / "backups").glob("*.sqlite3")) - set(made)
        if len(made) == 1:
            says(*told(folder, "db", "restore", str(made[0])), 5, "another command is at work", "stop it")
    sender.communicate()
    assert sender.returncode == 0 and made
    in_the_middle = 0
    for backup in made:
        assert copies.look_into(backup).schema == head()
        with closing(open_store(f"sqlite:///{backup}")) as store:
            findings = [one.what for one in look_through(store)]
            assert all("missing or broken" in what for what in findings), findings
        with closing(sqlite3.connect(backup)) as database:
            query = "SELECT count(*) FROM delivery WHERE state IN ('claimed', 'handing')"
            in_the_middle += database.execute(query).fetchone() != (0,)
    assert in_the_middle
    assert told(folder, "db", "restore", str(made[0]))[0] == 0
    for _ in range(2):
        code, said = folder.send()
        assert code == 5 and "Traceback" not in said, said
        assert told(folder, "issues", "resume", "1")[0] == 0
    assert set(folder.peer.taken().values()) == {1} and len(folder.peer.taken()) == READERS
