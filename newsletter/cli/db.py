"""`newsletter db`: back the database up, put a backup in its place, look it through, bring its schema up to date."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._options import everywhere
from newsletter.cli._workshop import Workshop

if TYPE_CHECKING:
    from newsletter.backups import Restored


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action each."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    back_up = actions.add_parser(
        "backup", help="copy the database to a new file, also while mail goes out", parents=[everywhere()]
    )
    back_up.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="new file, or a folder; without it, one in `backups/`"
    )
    restore = actions.add_parser(
        "restore", help="put a backup in the place of the database, which is kept aside", parents=[everywhere()]
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="a file of `db backup`")
    restore.add_argument("--yes", action="store_true", help="do not ask")
    actions.add_parser(
        "check", help="look the database through, and see whether the ledger adds up", parents=[everywhere()]
    )
    actions.add_parser("migrate", help="bring the schema up to date, after a backup", parents=[everywhere()])


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Do one action."""
    return int(_ACTIONS[arguments.action](arguments, workshop))


def _back_up(arguments: argparse.Namespace, workshop: Workshop) -> int:
    from newsletter.store import copies

    database, now = _file(workshop, "backup"), workshop.clocks.now()
    if not database.is_file():
        raise Stop(Exit.USAGE, f"{database}: there is no database yet; `newsletter build` makes one")
    target: Path = arguments.file or copies.folder_of(database)
    if arguments.file is None or target.is_dir():
        target = target / copies.new_name(database, now).name
    keys = workshop.kept_link_keys()
    copies.copy(database, target, now, keys)
    console = workshop.console
    with_keys = ", with the key of the links in mails" if keys else ""
    console.say(f"{target}: {target.stat().st_size / 1e6:,.1f} MB, which only you can read{with_keys}.")
    if workshop.settings.secrets.get("NEWSLETTER_SECRET_KEY"):
        console.note("NEWSLETTER_SECRET_KEY is not in it: keep that too, or links in old mails stop working.")
    console.finish({"file": str(target), "bytes": target.stat().st_size, "link_keys": len(keys)})
    return Exit.DONE


def _restore(arguments: argparse.Namespace, workshop: Workshop) -> int:
    from newsletter.backups import restore

    database, console, now = _file(workshop, "restore"), workshop.console, workshop.clocks.now()
    question = f"Put {arguments.file} in the place of {database}?"
    if console.is_terminal and not arguments.yes and not workshop.confirm(question):
        raise Stop(Exit.GATE, "nothing was changed")
    timetable = workshop.config.timetable()
    slots = [slot for kind in timetable.kinds if (slot := timetable.latest(kind, now))]
    done = restore(arguments.file, database, now, slots)
    has_keys = workshop.keep_link_keys(done.link_keys)
    _tell(workshop, arguments.file, done, has_keys=has_keys)
    console.finish(
        {
            "file": str(arguments.file),
            "made_at": done.made_at,
            "schema": done.schema,
            "kept": str(done.kept or ""),
            "paused": list(done.paused),
            "noes": done.noes,
            "problem": done.problem,
            "link_keys": len(done.link_keys),
        }
    )
    return Exit.DONE


def _tell(workshop: Workshop, file: Path, done: Restored, *, has_keys: bool) -> None:
    """What came of it, and how to go on."""
    console = workshop.console
    made = f", made {done.made_at:%Y-%m-%d %H:%M} UTC" if done.made_at else ""
    console.say(f"The database is that of {file} now{made}.")
    if done.kept:
        console.say(f"The one that was here is kept as {done.kept}.")
    if done.noes:
        console.say(f"{done.noes:,} who said no since the backup stay out of it.")
    elif done.noes is None:
        console.warn(
            "Who left after the backup is not known to it: let them go with `newsletter subscribers unsubscribe "
            "ADDRESS`, and take in what the provider reported with `newsletter events import`."
        )
    for number in done.paused:
        console.say(
            f"Issue {number} is paused: `newsletter issues resume {number}` lets it go on, `newsletter issues cancel "
            f"{number}` ends it if its readers have it already."
        )
    if done.problem:
        console.warn(
            f"Nothing is sent until `newsletter deliveries trust`: {done.problem}. A draft in it, or an issue that it "
            "has not, may be out: no slot since then is made up for; `newsletter issues reject N` throws a draft away."
        )
    if not has_keys:
        console.warn("It has a key of links in mails that NEWSLETTER_SECRET_KEY has not; add it there, after a comma.")
    elif not done.link_keys and not workshop.link_keys_are_known():
        console.warn(
            f"It came without the key of the links in mails: put links.key into {workshop.settings.data_folder}."
        )


def _check(arguments: argparse.Namespace, workshop: Workshop) -> int:
    from newsletter.checkup import look_through
    from newsletter.store import copies, head

    console = workshop.console
    with workshop.store(read_only=True) as store:
        found = look_through(store)
        backup = copies.newest(copies.folder_of(store.file)) if store.file else None
    for one in found:
        console.say(f"{one.what}: `{one.mend}`")
    if not found:
        console.say(f"The database is sound: schema {head()}, and the ledger adds up.")
        newest = (
            f"Newest backup: {backup}." if backup else "No backup in `backups/` yet; `newsletter db backup` makes one."
        )
        console.note(newest)
    findings = [{"what": one.what, "mend": one.mend} for one in found]
    console.finish({"schema": head(), "findings": findings, "newest_backup": str(backup or "")})
    return Exit.GATE if found else Exit.DONE


def _migrate(arguments: argparse.Namespace, workshop: Workshop) -> int:
    from newsletter.store import head

    with workshop.store() as store:
        updated = store.updated
    if updated is None:
        workshop.console.say(f"The schema is up to date: {head()}.")
    backup = str(updated.backup or "") if updated else ""
    workshop.console.finish({"schema": head(), "before": updated.before if updated else head(), "backup": backup})
    return Exit.DONE


def _file(workshop: Workshop, action: str) -> Path:
    """The database's file. Raises Stop for a database that is none, with what does the same there."""
    from newsletter.store import sqlite_file

    url = workshop.settings.database_url
    file = sqlite_file(url)
    if file is not None:
        return file
    place = _libpq(url)
    does = {
        "backup": f"`pg_dump --format=custom --file=newsletter.dump {place}` makes a backup; links.key goes with it",
        "restore": f"`pg_restore --clean --if-exists --dbname={place} newsletter.dump` restores one, then "
        "`newsletter deliveries trust` goes on",
    }[action]
    raise Stop(Exit.USAGE, f"data.database_url is no SQLite file: {does}")


def _libpq(url: str) -> str:
    """The URL as PostgreSQL's own programs take it, without the driver and without the password."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme.partition('+')[0]}://{login.partition(':')[0]}{at}{place}"


_ACTIONS = {"backup": _back_up, "restore": _restore, "check": _check, "migrate": _migrate}
