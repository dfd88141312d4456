"""Who has the database open is known: a restore never comes between."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.store import Store, at_work, open_store


def test_nobody_is_alone_while_somebody_works_and_after_that_one_is(store: Store) -> None:
    assert store.file is not None
    with pytest.raises(at_work.AtWork, match=r"another command is at work .* stop it"), at_work.alone(store.file):
        raise AssertionError("it was not alone")
    store.close()
    with at_work.alone(store.file), pytest.raises(at_work.BeingRestored, match="a backup is being restored"):
        open_store(f"{store.url}?timeout=0.1")
    open_store(store.url).close()


def test_several_work_at_a_time_and_who_reads_leaves_no_file(store: Store, tmp_path: Path) -> None:
    open_store(store.url).close()
    file = tmp_path / "read.sqlite3"
    file.write_bytes((tmp_path / "newsletter.sqlite3").read_bytes())
    assert at_work.join(file, 1, make=False) is None
    at_work.leave(None)
    assert not (tmp_path / "read.sqlite3.lock").exists()
