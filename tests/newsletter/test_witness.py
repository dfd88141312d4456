"""The witness: which databases it does not trust, and what it says of them."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from newsletter.witness import NotTrusted, Witness

NAME = "0123456789abcdef"


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    made = Witness(tmp_path / "newsletter.sqlite3.witness")
    made.check(NAME, 0)
    return made


def test_a_ledger_that_never_handed_over_gets_its_witness(witness: Witness) -> None:
    assert witness.file is not None and witness.file.stat().st_mode & 0o777 == 0o600
    assert witness.file.read_text().startswith(f"newsletter witness: ledger {NAME}, hand-over 000000000000, inode ")
    assert witness.handed() == 0


@pytest.mark.parametrize("handed", [7, 8, 900])
def test_a_ledger_that_is_not_behind_is_trusted(witness: Witness, handed: int) -> None:
    witness.record(NAME, 7)
    witness.check(NAME, handed)


def test_a_ledger_that_is_behind_is_not_trusted_and_the_way_on_is_named(witness: Witness) -> None:
    witness.record(NAME, 7)
    with pytest.raises(
        NotTrusted, match=r"older copy: it ends with hand-over 6, .* saw 7.*`newsletter deliveries trust`"
    ):
        witness.check(NAME, 6)


def test_a_witness_of_another_database_is_not_trusted(witness: Witness) -> None:
    with pytest.raises(NotTrusted, match="belongs to another database"):
        witness.check("f" * 16, 5)


def test_a_witness_that_was_copied_is_not_trusted(witness: Witness, tmp_path: Path) -> None:
    assert witness.file is not None
    (tmp_path / "copy").mkdir()
    copied = Witness(Path(shutil.copy2(witness.file, tmp_path / "copy")))
    with pytest.raises(NotTrusted, match="this data folder is a copy"):
        copied.check(NAME, 0)
    copied.replace(NAME, 0)
    copied.check(NAME, 0)


def test_a_folder_that_only_moved_is_trusted(witness: Witness, tmp_path: Path) -> None:
    assert witness.file is not None
    Witness(witness.file.rename(tmp_path / "moved")).check(NAME, 0)


@pytest.mark.parametrize("content", [None, b"", b"newsletter witness: led"])
def test_a_ledger_that_handed_over_and_has_no_witness_is_not_trusted(witness: Witness, content: bytes | None) -> None:
    assert witness.file is not None
    if content is None:
        witness.file.unlink()
    else:
        witness.file.write_bytes(content)
    with pytest.raises(NotTrusted, match="is missing or broken"):
        witness.check(NAME, 1)


def test_a_database_that_is_no_file_may_be_new_on_a_machine(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "newsletter.witness", is_strict=False)
    witness.check(NAME, 5)
    assert witness.handed() == 5
    with pytest.raises(NotTrusted, match="older copy"):
        witness.check(NAME, 4)


def test_without_a_file_there_is_no_witness() -> None:
    witness = Witness(None)
    witness.check(NAME, 5)
    witness.record(NAME, 6)
    assert witness.handed() == 0


def test_the_number_only_grows_whoever_writes(witness: Witness) -> None:
    def count(first: int) -> None:
        for number in range(first, 100, 4):
            witness.record(NAME, number)

    threads = [threading.Thread(target=count, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    witness.record(NAME, 3)
    assert witness.handed() == 99
