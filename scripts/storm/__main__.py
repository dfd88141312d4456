"""`scripts/soak storm`: brews a storm, lets it calm down, judges, and prints a table."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scripts.storm.carriers import CARRIERS
from scripts.storm.storm import CALM_SECONDS, Storm

SHOWN = 20


def _tell(storm: Storm, seconds: float, found: Mapping[str, Sequence[str]]) -> None:
    issues = storm.owner.query("SELECT kind, count(*) FROM issue WHERE state = 'frozen' GROUP BY 1")
    states = storm.owner.query("SELECT state, count(*) FROM delivery GROUP BY 1 ORDER BY 2 DESC")
    letters = storm.owner.query("SELECT state, count(*) FROM letter GROUP BY 1")
    mails = storm.log.all()
    town, processes = storm.town, storm.processes
    rows = {
        "storm": f"{seconds:.0f} s, which are {seconds * processes.clock.speed / 3600:.1f} hours by its clock",
        "issues": _counts(issues),
        "deliveries": _counts(states),
        "provider": f"asked {storm.carrier.asked:,} times, failed {storm.carrier.failed:,}; took {len(mails):,} mails",
        "letters": _counts(letters),
        "model": f"asked {storm.model.asked:,} times, failed {storm.model.failed:,}",
        "sources": _counts(storm.publishers.answers.items()),
        "people": f"{len(town.people):,}; {_counts(town.acts.items())}",
        "answers": _counts(town.answers.items()),
        "reports": _counts(storm.reporter.posts.items()),
        "kills": _counts(processes.kills.items()),
        "endings": _counts(processes.codes.items()),
        "memory, MB": "; ".join(f"{name} {_megabytes(sizes)}" for name, sizes in storm.sizes.items()),
    }
    for name, text in rows.items():
        print(f"{name:10}  {text}")
    for law, faults in found.items():
        print(f"{'FAILED' if faults else 'ok':6}  {law}")
        for fault in faults[:SHOWN]:
            print(f"        {fault}")
        if len(faults) > SHOWN:
            print(f"        ... and {len(faults) - SHOWN} more")


def _megabytes(sizes: Sequence[int]) -> str:
    return " ".join(f"{size // 1000}" for size in sizes)


def _counts(rows: Iterable[Sequence[object]]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in rows)


def main(words: Sequence[str]) -> int:
    """Brew, rage, calm down, judge. Ends with 1, and keeps the folder, when a law does not hold."""
    parser = argparse.ArgumentParser(prog="scripts/soak storm", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="how long it rages (default: %(default)s)")
    parser.add_argument("--provider", choices=sorted(CARRIERS), default="sendgrid", help="whom (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all choices (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the folder, whatever comes of it")
    arguments = parser.parse_args(words)
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    storm = Storm.brew(folder, arguments.seed, arguments.provider)
    try:
        storm.rage(arguments.seconds)
        is_calm = storm.calm_down()
        found = storm.end()
    finally:
        storm.close()
    if not is_calm:
        found[f"all that waits is gone within {CALM_SECONDS:.0f} s of calm"] = ["it is not"]
    _tell(storm, arguments.seconds, found)
    is_good = not any(found.values())
    if is_good and not arguments.keep:
        shutil.rmtree(folder)
    else:
        print(f"Everything is kept in {folder}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
