"""A storm from its beginning to its end: everything is put in its place, rages, calms down, and is judged."""

from __future__ import annotations

import datetime as dt
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from newsletter.messages import list_id_of
from scripts.storm import judge, people
from scripts.storm.carriers import CARRIERS, Carrier, Log, Taken
from scripts.storm.clock import Clock
from scripts.storm.judge import Books
from scripts.storm.luck import Luck
from scripts.storm.owner import Owner
from scripts.storm.people import Citizen, Town
from scripts.storm.processes import Processes, Service
from scripts.storm.reports import Reporter
from scripts.storm.world import Model, Publishers
from tests.newsletter import fake_claude, fake_sendgrid

NAME, FROM = "Storm Digest", "digest@digest.test"
LINK_KEY = "the-key-of-all-links-in-this-storm-0123456789"
CALM_SECONDS = 100.0
"""How long all that is left may take to go, once all is calm."""
CITIZENS, SCANNERS, OWNERS = 3, 2, 2
FIRST_PEOPLE = 40
LEAP = dt.timedelta(hours=3)
"""The clock leaps so far when the storm is over: longer than anything waits to be tried again."""


@dataclass(slots=True)
class Storm:
    """All parts of a storm in one folder."""

    folder: Path
    seed: int
    carrier: Carrier
    log: Log
    publishers: Publishers
    model: Model
    town: Town
    reporter: Reporter
    processes: Processes
    owner: Owner
    large: list[str] = field(default_factory=list)
    sizes: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def brew(cls, folder: Path, seed: int, provider: str) -> Storm:
        """Everything in its place, and nothing started but the services around the newsletter."""
        clock, ports = Clock(time.time()), _free_ports(2)
        town = Town(clock, ports, seed)
        reporter = Reporter(town, Luck(seed, "reports"), list_id_of(NAME, FROM.rpartition("@")[2]))

        def heard(mail: Taken) -> None:
            town.deliver(mail)
            if carrier.reports:
                reporter.hear(mail)

        log = Log(clock, heard)
        carrier = CARRIERS[provider](log, Luck(seed, "carrier"))
        publishers, model = Publishers(clock, Luck(seed, "publishers")), Model(Luck(seed, "model"))
        keys = {"ANTHROPIC_API_KEY": fake_claude.KEY, "ANTHROPIC_BASE_URL": model.base_url}
        environment = {**keys, "NEWSLETTER_SECRET_KEY": LINK_KEY, **carrier.environment}
        text = _config(ports[0], publishers, carrier, reporter.public_key)
        (folder / "newsletter.toml").write_text(text, "utf-8")
        processes = Processes(folder, clock, environment)
        owner = Owner(processes, town, log, Luck(seed, "owner"))
        return cls(folder, seed, carrier, log, publishers, model, town, reporter, processes, owner)

    def rage(self, seconds: float) -> None:
        """The storm itself."""
        self.owner.take_people_in(FIRST_PEOPLE)
        processes = self.processes
        for number, port in enumerate(self.town.ports):
            name = f"serve{number}"
            processes.stay(name, "serve", "--port", str(port), may_be_killed=number == 0)
            processes.stay(f"run{number}", "run", may_be_killed=number == 0)
        self._wait_for_pages()
        ended, luck, ends = threading.Event(), Luck(self.seed, "kills"), time.monotonic() + seconds
        with _at_once(self._actors(ended), ended):
            victims = [service for service in processes.services if service.may_be_killed]
            next_kill = time.monotonic() + 4
            while time.monotonic() < ends:
                time.sleep(1)
                processes.look()
                if time.monotonic() > next_kill:
                    processes.kill(luck.any_of(victims))
                    next_kill = time.monotonic() + luck.between(2, 9)

    def _wait_for_pages(self) -> None:
        """Until every server answers: they take seconds to start."""
        ends = time.monotonic() + 60
        for _ in self.town.ports:
            while self.town.ask("GET", "/healthz") is None and time.monotonic() < ends:
                time.sleep(0.2)
        self.town.answers.clear()

    def _actors(self, ended: threading.Event) -> list[Callable[[], None]]:
        citizens = [Citizen(self.town, Luck(self.seed, f"citizen{n}"), f"citizen{n}-") for n in range(CITIZENS)]
        return [
            *(lambda citizen=citizen: citizen.live(ended) for citizen in citizens),
            *(lambda: people.scan(self.town, ended) for _ in range(SCANNERS)),
            *(lambda: self.owner.live(ended) for _ in range(OWNERS)),
            *([lambda: self.reporter.live(ended)] if self.carrier.reports else []),
        ]

    def calm_down(self) -> bool:
        """All behave, what waits goes, what was reported is heard, what is in doubt is resolved. False: not in time."""
        self.publishers.calm_down()
        self.model.is_calm = self.carrier.is_calm = True
        self.large += self._large()
        self.sizes = {
            service.name: service.memory[:: len(service.memory) // 8 + 1] for service in self.processes.services
        }
        self.processes.stop()
        clock = self.processes.clock.leapt(LEAP)
        self.town.clock = clock
        schedule = {f"NEWSLETTER_SCHEDULE__{kind}": "" for kind in ("CRON", "WEEKLY", "MONTHLY")}
        self.processes.resume(clock, **schedule)
        ends = time.monotonic() + CALM_SECONDS
        while time.monotonic() < ends:
            time.sleep(1)
            self.processes.look()
            self.reporter.post_all(ends)
            self.owner.resume()
            if self._waits("letter", "planned", "handing") or self._waits("delivery", "planned", "claimed", "handing"):
                continue
            if not self._waits("delivery", "in_doubt"):
                return True
            self.owner.resolve_all()
        return False

    def _waits(self, table: str, *states: str) -> bool:
        named = ", ".join(f"'{state}'" for state in states)
        return bool(self.owner.query(f"SELECT 1 FROM {table} WHERE state IN ({named}) LIMIT 1"))

    def end(self) -> dict[str, list[str]]:
        """End what stays, and judge."""
        self.processes.stop()
        behind = self.processes.left_behind()
        secrets = (fake_claude.KEY, fake_sendgrid.KEY, LINK_KEY)
        logs, commands = self.folder / "logs", self.folder / "owner"
        found = judge.judge(Books(self.owner.database, self.log.all(), self.town, logs, commands, secrets))
        found["no process ends but the killed, and none is left behind"] = [*self.processes.faults, *behind]
        found["every post of reports gets the right answer"] = self.reporter.faults
        found["no process grows"] = self.large
        return found

    def _large(self) -> Iterator[str]:
        for service in self.processes.services:
            yield from (f"{service.name}: {size} kB" for size in service.memory if size > judge.MOST_KB)
            if (grown := _growth(service)) > judge.MOST_GROWTH_KB:
                yield f"{service.name} grew by {grown} kB"

    def close(self) -> None:
        """End everything, however the storm went."""
        self.processes.stop()
        self.model.close()
        self.carrier.close()
        self.publishers.close()


def _growth(service: Service) -> int:
    sizes = service.memory
    return max(sizes[-5:]) - max(sizes[: len(sizes) // 4 + 5]) if len(sizes) > 20 else 0


@contextmanager
def _at_once(actors: Sequence[Callable[[], None]], ended: threading.Event) -> Iterator[None]:
    """Let all of them act until the block ends. Raises what one of them raised: that is a bug of the storm's own."""
    raised: list[BaseException] = []

    def act(actor: Callable[[], None]) -> None:
        try:
            actor()
        except BaseException as error:  # said by the thread that waits
            raised.append(error)
            raise

    threads = [threading.Thread(target=act, args=(actor,), daemon=True) for actor in actors]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(100)
    if raised:
        raise raised[0]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _config(port: int, publishers: Publishers, carrier: Carrier, key: str) -> str:
    model = fake_claude.MODEL
    words = {"probes": "probe", "training": "seeds", "costs": "hours", "reviews": "reviewers"}
    topics = "".join(f'[[topics]]\nkey = "{name}"\nname = "{name}"\nkeywords = ["{words[name]}"]\n' for name in words)
    sources = "".join(f'[[sources]]\nname = "Source {n}"\nurl = "{url}"\n' for n, url in enumerate(publishers.feeds))
    return (
        f'[newsletter]\nname = "{NAME}"\n'
        '[schedule]\ncron = "*/5 * * * *"\nweekly = "2-59/30 * * * *"\nmonthly = "7 */2 * * *"\n'
        f'[fetching]\nallow = ["{publishers.place}"]\ntimeout_seconds = 2\nfresh_minutes = 1\n'
        "[selection]\nmin_pieces = 2\nmax_pieces = 4\nmax_per_source = 2\nmin_score = 0\n"
        f'[writing]\nmodel = "{model}"\ntriage_model = "{model}"\nmax_usd_per_issue = 0\n'
        "max_seconds_per_issue = 100000\ntimeout_seconds = 2\n"
        f'[web]\nbase_url = "http://localhost:{port}"\ntrusted_proxies = ["127.0.0.1/32"]\n'
        f'[delivery]\nfrom_address = "{FROM}"\npostal_address = "1 Street"\nwindow_hours = 72\n'
        f'webhook_key = "{key}"\n{carrier.config}{topics}{sources}'
    )
