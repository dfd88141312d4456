"""`python -m tests.judges`: all judges over all mails. `scripts/judge-mail` brings the tools and calls this."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from newsletter.theme import Theme
from tests.judges import Verdict, chromium, mails, ours, programs

MOST_SHOWN = 12


def main() -> int:
    """Print each verdict. Returns 1 when one of them is bad."""
    parser = argparse.ArgumentParser(
        prog="scripts/judge-mail", description="Judge the mails of the demo and a hard one."
    )
    parser.add_argument("--tools", type=Path, default=Path("nowhere"), help="folder of what npm and pip brought")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the verdicts as JSON too")
    arguments = parser.parse_args()
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for verdict in judged(Path(folder), arguments.tools.absolute()):
            verdicts.append(verdict)
            print(f"{verdict.state:8} {verdict.judge}: {verdict.skipped or verdict.figures}", flush=True)
            for fault in verdict.faults[:MOST_SHOWN]:
                print(f"         {fault[:300]}")
    if arguments.report:
        told = [{"state": verdict.state, **asdict(verdict)} for verdict in verdicts]
        arguments.report.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return int(any(verdict.state == "failed" for verdict in verdicts))


def judged(folder: Path, tools: Path) -> Iterator[Verdict]:
    """Every verdict, the quick judges first."""
    strained = list(mails.stress(folder))
    every = [*mails.demo(folder), *(mail for mail, _ in strained)]
    for rule in (ours.sizes, ours.headers, ours.links, ours.texts, ours.structure):
        yield rule(every)
    yield ours.colours(Theme())
    markup = {mail.name: markup for mail, markup in strained} | dict(mails.letters())
    yield programs.strict_mjml(markup, tools, folder)
    yield programs.caniemail(every, tools, folder)
    yield programs.nu(every, tools, folder)
    yield programs.lynx(every, folder)
    yield programs.spamassassin(every, folder)
    yield programs.dkim(every, tools)
    yield from chromium.judge(every)


if __name__ == "__main__":
    sys.exit(main())
