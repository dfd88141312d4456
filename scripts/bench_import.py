"""What an import of a long list costs beside email-validator alone on the same lines, each in a process of its own.

The list is made anew: a million lines (or as many as the first argument says) with addresses of 5,000 domains, names
and topics. Both take turns, three rounds; the median of the ratios counts.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import subscribers
from newsletter.store import open_store

LINES, ROUNDS = 1_000_000, 3
MOST_TIMES, MOST_MEGABYTES = 2.0, 300
TOPICS = {"safety": "Safety", "theory": "Theory"}


def main() -> int:
    """Measure and print; 1 when a ceiling is passed."""
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2], Path(sys.argv[3]))
    lines = int(sys.argv[1]) if sys.argv[1:] else LINES
    with tempfile.TemporaryDirectory(prefix="newsletter-bench-") as folder:
        file = Path(folder) / "people.csv"
        write(file, lines)
        rounds = [(measured("import", file), measured("validator", file)) for _ in range(ROUNDS)]
    print(f"{lines:,} lines, {ROUNDS} rounds")
    for ours, theirs in rounds:
        print(
            f"import {ours['wall']:6.1f} s ({ours['cpu']:.1f} s of CPU), {ours['megabytes']:.0f} MB; "
            f"email-validator alone {theirs['wall']:6.1f} s ({theirs['cpu']:.1f} s of CPU)"
        )
    times = {kind: statistics.median(ours[kind] / theirs[kind] for ours, theirs in rounds) for kind in ("wall", "cpu")}
    megabytes = max(ours["megabytes"] for ours, _ in rounds)
    print(f"ratio: {times['wall']:.2f} by the clock, {times['cpu']:.2f} in CPU (at most {MOST_TIMES:g})")
    print(f"peak memory: {megabytes:.0f} MB (at most {MOST_MEGABYTES})")
    return int(max(times.values()) > MOST_TIMES or megabytes > MOST_MEGABYTES)


def write(file: Path, lines: int) -> None:
    """Write the list."""
    dice = random.Random(1)
    with file.open("w", encoding="utf-8") as out:
        out.write("email,name,topics,subscribed_at\n")
        for number in range(lines):
            address = f"Reader.{dice.randrange(10**9)}.{number}@mail{number % 5000}.example.com"
            out.write(
                f"{address},Ann Müller {number},{'safety;theory' if number % 4 == 0 else ''},2024-05-11 10:00:00\n"
            )


def measured(what: str, file: Path) -> dict[str, float]:
    """What one of the two took, in seconds and megabytes."""
    done = subprocess.run([sys.executable, __file__, "--child", what, str(file)], capture_output=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def child(what: str, file: Path) -> int:
    """Do one of the two and print what it took."""
    began = time.perf_counter()
    take_in(file) if what == "import" else validate(file)
    used = resource.getrusage(resource.RUSAGE_SELF)
    megabytes = used.ru_maxrss / (1024 * (1024 if sys.platform == "darwin" else 1))
    wall, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    print(json.dumps({"wall": wall, "cpu": cpu, "megabytes": megabytes}))
    return 0


def take_in(file: Path) -> None:
    """Import the list into a database of its own, as the command does."""
    database = file.with_suffix(".sqlite3")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    store = open_store(f"sqlite:///{database}")
    plan = subscribers.ImportPlan("They ticked the box on the old site.", TOPICS)
    report = subscribers.import_people(store.write, file, plan, now=dt.datetime.now(dt.UTC))
    store.close()
    if report.added != report.lines:
        raise RuntimeError(f"{report.added} of {report.lines} lines were taken in")


def validate(file: Path) -> None:
    """Check each address, and nothing else."""
    from email_validator import validate_email

    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            validate_email(row["email"], check_deliverability=False)


if __name__ == "__main__":
    sys.exit(main())
