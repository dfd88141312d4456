"""The owner of a storm's newsletter, who never leaves it alone: looks, pauses, resumes, corrects, imports, resolves."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from newsletter.cli import COMMANDS
from scripts.storm.carriers import REFUSED, Log
from scripts.storm.luck import Luck
from scripts.storm.people import Town
from scripts.storm.processes import Processes

LOOKS = (
    "status",
    "costs",
    "events list",
    "subscribers list",
    "issues list",
    "deliveries list",
    "config show",
    "db check",
    "db backup",
)
SETTLED = dt.timedelta(minutes=6)
"""A doubt as old as that, by the storm's clock, is one of which the provider knows all that it will ever know."""


class Owner:
    """Gives one command after the other."""

    def __init__(self, processes: Processes, town: Town, log: Log, luck: Luck) -> None:
        self._processes, self._town, self._log, self._luck = processes, town, log, luck
        self._imports = 0

    @property
    def database(self) -> Path:
        """The database."""
        return self._processes.folder / "data" / "newsletter.sqlite3"

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the database, read past the product."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(statement, values).fetchall()

    def live(self, ended: threading.Event) -> None:
        """Give commands until the storm has ended."""
        while not ended.wait(self._luck.between(0.1, 1.0)):
            act = self._luck.of(ACTS)
            act(self)
            self._town.acts[f"owner {act.__name__}"] += 1

    def look(self) -> None:
        """Commands that change nothing of the newsletter, as far as this program has them."""
        known = [words for words in LOOKS if words.split()[0] in COMMANDS]
        self._processes.command(*self._luck.any_of(known).split(), "--json")

    def take_people_in(self, count: int = 6) -> None:
        """Import a list: new people, some who left or were erased, who must not come back, and some who are refused."""
        self._imports += 1
        new = [f"import{self._imports}-{number}@example.com" for number in range(count)]
        with_old = [*new, *self._luck.some_of(list(self._town.people), 5), *REFUSED]
        file = self._processes.folder / f"people-{self._imports}.csv"
        file.write_text("email\n" + "".join(f"{address}\n" for address in with_old))
        code, _ = self._processes.command("subscribers", "import", str(file), "--consent", "They asked at the fair.")
        for address in new:
            self._town.person(address).is_in = code == 0

    def send(self) -> None:
        """Send by hand, and now and then be killed."""
        kill_after = self._luck.between(1, 4) if self._luck.one_in(3) else None
        self._processes.command("send", "--yes", kill_after=kill_after)

    def build(self) -> None:
        """Read the sources, or make a draft."""
        self._processes.command(self._luck.any_of(["fetch", "build"]))

    def pause(self) -> None:
        """Stop an issue that goes out."""
        if number := self._unfinished():
            self._processes.command("issues", "pause", str(number))

    def resume(self) -> None:
        """Let what is paused go on."""
        for (number,) in self.query("SELECT issue_id FROM sending WHERE state = 'paused'"):
            self._processes.command("issues", "resume", str(number))

    def cancel(self) -> None:
        """End an issue that goes out."""
        if number := self._unfinished():
            self._processes.command("issues", "cancel", str(number))

    def approve(self) -> None:
        """Approve what waits for it: an issue of excerpts, since the model failed."""
        for (number,) in self.query("SELECT id FROM issue WHERE state = 'draft'"):
            self._processes.command("issues", "approve", str(number))

    def correct(self) -> None:
        """Say what was wrong with a piece."""
        if found := self.query("SELECT issue_id, piece_id FROM publication"):
            issue, piece = self._luck.any_of(found)
            self._processes.command("issues", "correct", str(issue), str(piece), "--note", "A number was wrong.")

    def suppress(self) -> None:
        """Stop all mail to somebody, and let it go on later."""
        person = self._town.somebody(self._luck)
        with person.lock:
            if person.is_erased:
                return
            if any(silence.kind == "owner" and silence.until is None for silence in person.silences):
                person.break_silence(self._town.clock.now(), "owner")
                self._processes.command("subscribers", "lift", person.address, "owner")
            elif self._processes.command("subscribers", "suppress", person.address)[0] == 0:
                person.fall_silent("owner", self._town.clock.now())

    def resolve(self) -> None:
        """Say what became of a few that are in doubt, as the provider has it."""
        code, out = self._processes.command("deliveries", "list", "--json", "--limit", "1000")
        found = json.loads(out)["deliveries"] if code == 0 else []
        until = self._processes.clock.now() - SETTLED
        known = [one["key"] for one in found if dt.datetime.fromisoformat(one["changed_at"]) < until]
        for key in self._luck.some_of(known, 3):
            self._resolve("sent" if self._log.has(key) else "again", "--key", key)

    def resolve_all(self) -> None:
        """The same of all, once nothing is on its way any more: one by one what was taken, then the rest."""
        doubts = self.query("SELECT issue_id, subscriber_id FROM delivery WHERE state = 'in_doubt'")
        for key in [f"{issue}-{reader}" for issue, reader in doubts]:
            if self._log.has(key):
                self._resolve("sent", "--key", key)
        for issue in {issue for issue, _ in doubts}:
            self._resolve("failed" if self._is_cancelled(issue) else "again", str(issue))

    def _resolve(self, verdict: str, *which: str) -> None:
        self._processes.command("deliveries", "resolve", *which, "--as", verdict, "--yes")

    def _is_cancelled(self, issue: int) -> bool:
        return bool(self.query("SELECT 1 FROM sending WHERE issue_id = ? AND state = 'cancelled'", issue))

    def _unfinished(self) -> int:
        states = "('planned', 'claimed', 'handing')"
        found = self.query(f"SELECT DISTINCT issue_id FROM delivery WHERE state IN {states}")
        return int(self._luck.any_of(found)[0]) if found else 0


ACTS: dict[Callable[[Owner], None], float] = {
    Owner.look: 14,
    Owner.take_people_in: 8,
    Owner.send: 12,
    Owner.build: 5,
    Owner.pause: 5,
    Owner.resume: 8,
    Owner.cancel: 1,
    Owner.approve: 14,
    Owner.correct: 5,
    Owner.suppress: 6,
    Owner.resolve: 8,
}
