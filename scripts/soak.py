"""Kills a sending again and again, lets it finish, and counts who got nothing, who got it twice, and who is in doubt.

Each round starts from the same draft and 2,000 readers: `newsletter send` is killed (kill -9) at random moments until
it comes through, against a provider on this machine that keeps its own count. Lost: neither taken by the provider, nor
planned, nor in doubt. Other providers bring a `Peer` and their configuration. Where the provider reports what it took,
the reports come in after the round, and what is still in doubt then was not taken: it is sent again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import subscribers
from newsletter.store import open_store
from newsletter.store.tables import IssueRow
from scripts.peers import PEERS, Peer
from tests.newsletter.feeds import publisher
from tests.newsletter.makers import DAY

ROOT = Path(__file__).resolve().parents[1]
NOW = ("--now", DAY.isoformat())
ISSUE = 1


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a round. ``states`` are the ledger's own counts; ``left`` is in doubt after all reports."""

    kills: int
    lost: int
    doubled: int
    in_doubt: int
    states: Mapping[str, int]
    left: int = 0


@dataclass(slots=True)
class Folder:
    """An owner's folder with a draft and readers; `newsletter` is run in it against a peer."""

    path: Path
    peer: Peer[Any]

    @property
    def database(self) -> Path:
        """The database."""
        return self.path / "data" / "newsletter.sqlite3"

    def spawn(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command of the newsletter."""
        command = [sys.executable, "-m", *self.peer.command, *words, "--config", str(self.path), *NOW]
        given = {**os.environ, "PYTHONPATH": str(ROOT), **self.peer.environment, **environment}
        return subprocess.Popen(
            command, cwd=self.path, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        """Run a command to its end: its code, and all that it said."""
        process = self.spawn(*words, **environment)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    def send(self, **environment: str) -> tuple[int, str]:
        """Run `newsletter send`."""
        return self.run("send", str(ISSUE), "--yes", **environment)

    def states(self) -> dict[str, str]:
        """The state of each delivery, by the reader's address."""
        with closing(sqlite3.connect(self.database)) as database:
            return dict(
                database.execute(
                    "SELECT address, delivery.state FROM delivery JOIN subscriber ON subscriber.id = subscriber_id"
                )
            )

    def judge(self, kills: int, taken: Counter[str] | None = None) -> Found:
        """Compare what the peer took with what the ledger says."""
        taken, states = self.peer.taken() if taken is None else taken, self.states()
        kept = ("planned", "claimed", "in_doubt")
        lost = sum(1 for address, state in states.items() if not taken[address] and state not in kept)
        doubled = sum(1 for count in taken.values() if count > 1)
        counts = Counter(states.values())
        return Found(kills, lost, doubled, counts["in_doubt"], dict(counts))


def prepare(folder: Path, peer: Peer[Any], readers: int) -> None:
    """Make the folder that every round is a copy of: a draft, and so many readers."""
    peer.start()
    with publisher() as site:
        site.feed("/one.xml", [site.item(number) for number in range(1, 9)])
        (folder / "newsletter.toml").write_text(
            f'[fetching]\nallow = ["127.0.0.1:{site.port}"]\n[writing]\nwriter = "excerpts"\n[selection]\n'
            f'max_per_source = 5\n{peer.config}\n[[sources]]\nname = "One"\nurl = "{site.base}/one.xml"\n'
        )
        code, said = Folder(folder, peer).run("build")
    if code:
        raise RuntimeError(f"no draft could be made: {said}")
    store = open_store(f"sqlite:///{folder}/data/newsletter.sqlite3")
    with store.write() as session:
        if session.get(IssueRow, ISSUE) is None:
            raise RuntimeError(f"there is no draft: {said}")
        for number in range(readers):
            subscribers.add(
                session,
                f"reader{number}@example.com",
                now=DAY,
                how="soak",
                consent_text="yes",
                active=True,
            )
    store.close()


def fresh(template: Path, folder: Path, peer: Peer[Any]) -> Folder:
    """A copy of the prepared folder, and a peer that counts from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    peer.start()
    return Folder(folder, peer)


def seam(folder: Folder, where: str) -> Found:
    """Kill a sending at a seam (see `tests.newsletter.counting`), then let it finish."""
    code, said = folder.send(DIE_AT=where)
    if code != -signal.SIGKILL:
        raise RuntimeError(f"it was not killed at {where}: {code} {said}")
    return _finish(folder, 1)


def random_kills(folder: Folder, rng: random.Random, most: int, longest: float) -> Found:
    """Kill it at random moments, up to ``most`` times or until it has come through, then let it finish."""
    kills = 0
    while kills < most:
        process = folder.spawn("send", str(ISSUE), "--yes")
        time.sleep(rng.uniform(0.3, longest))
        if process.poll() is not None:
            process.communicate()
            break
        process.kill()
        process.communicate()
        kills += 1
    return _finish(folder, kills)


def _finish(folder: Folder, kills: int) -> Found:
    code, said = folder.send()
    if code not in (0, 4):
        raise RuntimeError(f"it did not finish: {code} {said}")
    found = folder.judge(kills)
    reports = folder.peer.reports()
    return _settle(folder, found, reports) if reports else replace(found, left=found.in_doubt)


def _settle(folder: Folder, found: Found, reports: list[dict[str, object]]) -> Found:
    """Take the reports in, and send again what nobody reported: all that was in doubt is known then."""
    file = folder.path / "events.json"
    file.write_text(json.dumps(reports))
    code, said = folder.run("events", "import", str(file))
    unreported = folder.judge(0).in_doubt
    if unreported and not code:
        code, said = folder.run("deliveries", "resolve", str(ISSUE), "--as", "again", "--yes")
        code, said = (code, said) if code else folder.send()
    if code:
        raise RuntimeError(f"what the provider reported was not taken in: {code} {said}")
    last = folder.judge(found.kills)
    return replace(found, lost=max(found.lost, last.lost), doubled=max(found.doubled, last.doubled), left=last.in_doubt)


def main() -> int:
    """Kill, count, print the table; end with 1 when anybody was lost or doubled, or more is in doubt than may be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="how many (default: %(default)s)")
    parser.add_argument("--readers", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--provider", choices=sorted(PEERS), default="counting", help="whom (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: %(default)s)")
    arguments = parser.parse_args()
    peer, rng, rounds = PEERS[arguments.provider](), random.Random(arguments.seed), list[Found]()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        template = Path(name) / "template"
        template.mkdir()
        prepare(template, peer, arguments.readers)
        began = time.monotonic()
        rounds.append(random_kills(fresh(template, Path(name) / "round", peer), rng, 0, 1.0))
        longest = max(time.monotonic() - began, 1.0)
        print(f"{'round':>5} {'kills':>5} {'lost':>5} {'doubled':>7} {'in doubt':>8} {'left':>5}  states", flush=True)
        while sum(found.kills for found in rounds) < arguments.kills:
            left = arguments.kills - sum(found.kills for found in rounds)
            found = random_kills(fresh(template, Path(name) / "round", peer), rng, min(left, 6), longest)
            rounds.append(found)
            states = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in sorted(found.states.items()))
            counted = f"{found.lost:5} {found.doubled:7} {found.in_doubt:8} {found.left:5}"
            print(f"{len(rounds) - 1:5} {found.kills:5} {counted}  {states}", flush=True)
    peer.close()
    kills = sum(found.kills for found in rounds)
    lost, doubled, doubts, unknown = (
        sum(getattr(found, what) for found in rounds) for what in ("lost", "doubled", "in_doubt", "left")
    )
    print(f"  all {kills:5} {lost:5} {doubled:7} {doubts:8} {unknown:5}  at most {peer.most_in_doubt} in doubt a kill")
    return 1 if lost or doubled or doubts > peer.most_in_doubt * kills else 0


if __name__ == "__main__":
    sys.exit(main())
