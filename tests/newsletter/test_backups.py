"""A restore loses nothing, mails nobody twice by itself, and nobody who said no."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import subscribers
from newsletter import deliveries, issues, pipeline
from newsletter.backups import Restored, restore
from newsletter.config import Config
from newsletter.deliveries import PAUSED
from newsletter.providers import Accepted, InDoubt
from newsletter.slots import Slot
from newsletter.store import Store, at_work, copies, open_store
from newsletter.store.copies import NotOurs
from newsletter.witness import NotTrusted
from tests.newsletter.life import Life
from tests.newsletter.makers import DAY
from tests.newsletter.store.older import OLDER, make_newer, make_older
from tests.newsletter.store.test_copies import file_of, hole

LATER = DAY + dt.timedelta(hours=6)
READERS = ("ann", "bob", "cleo")


@pytest.fixture
def life(store: Store) -> Iterator[Life]:
    """A newsletter with three readers and an issue that is out."""
    made = Life(store, Config(), DAY)
    for name in READERS:
        made.join(name)
    made.publish(((), 5.0))
    yield made
    made.store.close()


def back_up(life: Life, *keys: str) -> Path:
    """A backup of it as it is now."""
    backup = copies.new_name(file_of(life.store), life.now)
    copies.copy(file_of(life.store), backup, life.now, keys)
    return backup


def restored(life: Life, backup: Path, slots: tuple[Slot, ...] = ()) -> Restored:
    """Put it back; the newsletter goes on with it."""
    life.store.close()
    done = restore(backup, file_of(life.store), LATER, slots)
    again = open_store(life.store.url)
    life.store, life.now = again, LATER
    life.__post_init__()
    return done


def addresses(store: Store) -> set[str]:
    """Who is mailed."""
    with store.read() as session:
        return {row.address.partition("@")[0] for row in subscribers.page(session) if row.state == "active"}


def test_a_backup_from_which_nothing_was_sent_since_goes_on_at_once(life: Life) -> None:
    done = restored(life, back_up(life, "k" * 43))
    assert (done.made_at, done.paused, done.noes, done.problem) == (DAY, (), 0, "")
    assert done.link_keys == ("k" * 43,)
    life.publish(((), 5.0))
    assert [len(life.mails(name)) for name in READERS] == [2, 2, 2]


def test_the_database_that_was_there_is_kept_whole(life: Life) -> None:
    backup = back_up(life)
    life.join("dora")
    done = restored(life, backup)
    assert done.kept is not None and done.kept.stat().st_mode & 0o777 == 0o600
    assert addresses(life.store) == set(READERS)
    with closing(open_store(f"sqlite:///{done.kept}")) as former:
        assert addresses(former) == {*READERS, "dora"}
    twice = restored(life, backup)
    assert twice.kept != done.kept and done.kept.exists()


def test_what_was_sent_since_the_backup_is_not_sent_again_until_the_owner_trusts_it(life: Life) -> None:
    life.answer = InDoubt
    life.coming = [((), 5.0)]
    built = life.draft(Slot("every", "2026-05-30", DAY, DAY))
    assert built.number is not None
    backup = back_up(life)
    pipeline.freeze(life.press, built.number)
    life.answer = Accepted
    life.send(built.number)
    done = restored(life, backup)
    assert "this database is an older copy" in done.problem
    with pytest.raises(NotTrusted, match="`newsletter deliveries trust`"):
        pipeline.freeze(life.press, built.number)
        life.send(built.number)
    with life.store.read() as session:
        assert deliveries.counts(session, built.number).get("accepted") is None


def test_unfinished_issues_are_paused_and_go_on_when_they_are_resumed(life: Life) -> None:
    life.coming = [((), 5.0)]
    number = life.draft(Slot("every", "2026-05-30", DAY, DAY)).number
    assert number is not None
    pipeline.freeze(life.press, number)
    done = restored(life, back_up(life))
    assert (done.paused, done.problem) == ((number,), "")
    with life.store.read() as session:
        assert deliveries.standing(session, number).state == PAUSED
    assert life.send(number) == {"planned": 3}
    with life.store.write() as session:
        deliveries.resume(session, number)
    assert life.send(number) == {"accepted": 3}


def test_who_said_no_since_the_backup_stays_out(life: Life) -> None:
    backup = back_up(life)
    with life.store.write() as session:
        subscribers.unsubscribe(session, 1, now=DAY)
        subscribers.erase(session, 2, now=DAY)
    assert restored(life, backup).noes == 2
    assert addresses(life.store) == {"cleo"}
    with life.store.read() as session:
        assert subscribers.find(session, "bob@example.com") is None


def test_a_damaged_database_is_kept_and_what_takes_its_place_must_be_trusted(life: Life) -> None:
    backup = back_up(life)
    life.store.close()
    file = file_of(life.store)
    file.write_bytes(b"garbage " * 1000)
    file.with_name(f"{file.name}-wal").write_bytes(b"half a log")
    done = restored(life, backup)
    assert done.noes is None and "restored from a backup, and nobody knows" in done.problem
    assert done.kept is not None and done.kept.read_bytes() == b"garbage " * 1000
    assert done.kept.with_name(f"{done.kept.name}-wal").read_bytes() == b"half a log"
    with pytest.raises(NotTrusted):
        life.publish(((), 5.0))


def test_a_backup_on_a_new_machine_must_be_trusted_even_before_its_first_sending(
    empty_database: Path, tmp_path: Path
) -> None:
    copies.copy(empty_database, tmp_path / "copy.sqlite3", DAY)
    done = restore(tmp_path / "copy.sqlite3", tmp_path / "new" / "newsletter.sqlite3", LATER)
    assert (done.kept, done.noes) == (None, None) and "nobody knows what was sent" in done.problem


def test_a_slot_that_may_be_out_is_not_made_up_for_and_a_draft_waits_for_the_owner(life: Life) -> None:
    life.coming = [((), 5.0)]
    draft = life.draft(Slot("every", "2026-05-28T07:00", DAY, DAY)).number
    backup = back_up(life)
    assert draft is not None
    pipeline.freeze(life.press, draft)
    life.send(draft)
    since = Slot("every", "2026-05-29T12:00", DAY, DAY + dt.timedelta(hours=5))
    before = Slot("weekly", "2026-05-28T12:00", DAY, DAY - dt.timedelta(hours=5))
    restored(life, backup, (since, before))
    with life.store.read() as session:
        empty = issues.empty_slot(session, since.key)
        assert empty is not None and "a backup was restored" in empty.reason
        assert issues.empty_slot(session, before.key) is None
        assert issues.waits_for_approval(session, draft)


def test_an_older_schema_is_brought_up_to_date_on_the_way(life: Life) -> None:
    backup = back_up(life)
    make_older(backup)
    done = restored(life, backup)
    assert done.schema == OLDER and life.store.updated is None
    assert sorted(path.name for path in backup.parent.iterdir()) == [backup.name]


def test_a_newer_schema_the_database_itself_and_damage_are_refused_and_nothing_changes(life: Life) -> None:
    backup, file = back_up(life), file_of(life.store)
    life.store.close()
    before = {path.name: path.read_bytes() for path in file.parent.iterdir() if path.is_file()}
    with pytest.raises(NotOurs, match="is the database itself"):
        restore(file, file, LATER)
    make_newer(backup)
    with pytest.raises(NotOurs, match=r"has schema 9999 .*install the newer program first"):
        restore(backup, file, LATER)
    hole(backup)
    with pytest.raises(NotOurs):
        restore(backup, file, LATER)
    after = {path.name: path.read_bytes() for path in file.parent.iterdir() if path.is_file()}
    assert after == before


def test_nothing_is_restored_while_somebody_works(life: Life) -> None:
    backup = back_up(life)
    with pytest.raises(at_work.AtWork, match="stop it"):
        restore(backup, file_of(life.store), LATER)
    assert addresses(life.store) == set(READERS)
