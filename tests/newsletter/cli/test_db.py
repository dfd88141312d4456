"""`newsletter db`: backups come and go back in, a check names what mends each finding, and keys are kept."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from newsletter.store import head, open_store
from tests.newsletter.cli.conftest import Owner


@pytest.fixture
def settled(owner: Owner) -> Iterator[Owner]:
    """An owner with a database and a key of links."""
    owner.database.parent.mkdir()
    open_store(f"sqlite:///{owner.database}").close()
    (owner.database.parent / "links.key").write_text("k" * 43 + "\n")
    yield owner


def key_file(owner: Owner) -> Path:
    """Where the keys of links are."""
    return owner.database.parent / "links.key"


def test_a_backup_has_the_moment_in_its_name_and_says_what_is_in_it(settled: Owner) -> None:
    run = settled("db", "backup", "--json", "--now", "2026-05-29T07:00:00+00:00")
    file = Path(run.json["file"])
    assert (run.code, run.json["link_keys"]) == (0, 1)
    assert file == settled.folder / "data" / "backups" / "newsletter-2026-05-29-070000.sqlite3"
    assert file.stat().st_mode & 0o777 == 0o600
    again = settled("db", "backup", str(settled.folder))
    assert again.code == 0 and again.out.startswith(f"{settled.folder}/newsletter-20")
    refused = settled("db", "backup", str(file))
    assert refused.code == 3 and "is there already" in refused.err and refused.err.count("\n") == 1


def test_there_is_nothing_to_back_up_before_the_first_build(owner: Owner) -> None:
    run = owner("db", "backup")
    assert run.code == 2 and "there is no database yet; `newsletter build` makes one" in run.err


def test_a_restore_brings_the_keys_of_old_links_back_behind_the_new_one(settled: Owner) -> None:
    backup = settled("db", "backup", "--json").json["file"]
    key_file(settled).write_text("n" * 43 + "\n")
    run = settled("db", "restore", backup)
    assert run.code == 0 and "is kept as" in run.out
    assert key_file(settled).read_text() == f"{'n' * 43}\n{'k' * 43}\n"
    assert key_file(settled).stat().st_mode & 0o777 == 0o600
    assert settled("db", "restore", backup).code == 0
    assert key_file(settled).read_text() == f"{'n' * 43}\n{'k' * 43}\n"
    key_file(settled).unlink()
    assert settled("db", "restore", backup).code == 0 and key_file(settled).read_text() == f"{'k' * 43}\n"


def test_a_key_of_the_environment_is_the_owners_to_keep(settled: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    with_key = settled("db", "backup", "--json").json["file"]
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", "e" * 43)
    run = settled("db", "backup", str(settled.folder / "mine.sqlite3"))
    assert "NEWSLETTER_SECRET_KEY is not in it: keep that too" in run.err
    assert "e" * 43 not in (settled.folder / "mine.sqlite3").read_bytes().decode("latin-1")
    before = key_file(settled).read_text()
    assert "NEWSLETTER_SECRET_KEY has not; add it there" in settled("db", "restore", with_key).err
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", f"{'e' * 43},{'k' * 43}")
    assert "NEWSLETTER_SECRET_KEY" not in settled("db", "restore", with_key).err
    assert key_file(settled).read_text() == before


def test_a_backup_without_its_key_is_said_to_be_one(settled: Owner) -> None:
    key_file(settled).unlink()
    backup = settled("db", "backup", "--json").json["file"]
    assert "put links.key into" in settled("db", "restore", backup).err


def test_a_database_that_is_gone_can_be_restored_and_waits_for_the_owner(settled: Owner) -> None:
    backup = settled("db", "backup", "--json").json["file"]
    settled.database.unlink()
    run = settled("db", "restore", backup, "--json")
    assert (run.code, run.json["kept"], run.json["noes"], run.json["paused"]) == (0, "", None, [])
    assert "Nothing is sent until `newsletter deliveries trust`" in run.err and "Who left after" in run.err
    check = settled("db", "check", "--json")
    assert (check.code, check.json["findings"][0]["mend"]) == (5, "newsletter deliveries trust")
    assert settled("deliveries", "trust").code == 0
    assert settled("db", "check").code == 0


@pytest.mark.parametrize("name", ["none.sqlite3", "newsletter.toml"])
def test_what_is_no_backup_is_refused_in_one_line(settled: Owner, name: str) -> None:
    run = settled("db", "restore", str(settled.folder / name))
    assert run.code == 2 and run.err.startswith(f"newsletter: {settled.folder / name}: ") and run.err.count("\n") == 1


def test_a_check_says_that_all_is_well_or_what_is_not(settled: Owner) -> None:
    run = settled("db", "check")
    assert (run.code, run.out) == (0, f"The database is sound: schema {head()}, and the ledger adds up.\n")
    backup = settled("db", "backup", "--json").json["file"]
    assert f"Newest backup: {backup}." in settled("db", "check").err
    with closing(sqlite3.connect(settled.database)) as database, database:
        database.execute("DELETE FROM ledger")
    found = settled("db", "check")
    assert found.code == 5 and f"`newsletter db restore {backup}`" in found.out and found.out.count("\n") == 1


@pytest.mark.parametrize(("action", "program"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_for_postgresql_the_program_that_does_it_is_named(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, action: str, program: str
) -> None:
    monkeypatch.setenv("NEWSLETTER_DATABASE_URL", "postgresql+psycopg://me:hidden@db.example.com:5433/news")
    run = owner("db", action, *(["x"] if action == "restore" else []))
    assert run.code == 2 and f"`{program} " in run.err and "postgresql://me@db.example.com:5433/news" in run.err
    assert run.err.count("\n") == 1 and "hidden" not in run.err + run.out


def test_nothing_is_left_of_a_restore_beside_the_database(settled: Owner) -> None:
    backup = settled("db", "backup", "--json").json["file"]
    kept = settled("db", "restore", backup, "--json").json["kept"]
    names = {"backups", "links.key", "newsletter.sqlite3", "newsletter.sqlite3.lock", "newsletter.sqlite3.witness"}
    assert set(os.listdir(settled.database.parent)) == names | {Path(kept).name}
