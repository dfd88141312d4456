"""The people of a storm: they subscribe, confirm, choose, pause, leave, undo, vote and are erased; scanners click."""

from __future__ import annotations

import datetime as dt
import http.client
import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from scripts.storm.carriers import Taken
from scripts.storm.clock import Clock
from scripts.storm.luck import Luck

TOPICS = ("probes", "training", "costs", "reviews")
LIFTED_BY_PERSON = ("unsubscribed", "paused")
BARRING = ("complaint", "hard_bounce", "owner")
SCANNED = 6
"""One mail of so many is read by a scanner."""

_UNDO = re.compile(r"/n/[A-Za-z0-9._-]+")


@dataclass(slots=True)
class Silence:
    """From when on somebody must get no mail, and until when; by the storm's clock. It began at the latest then."""

    kind: str
    since: dt.datetime
    until: dt.datetime | None = None

    def holds(self, at: dt.datetime) -> bool:
        """Whether it surely held then."""
        return self.since < at and (self.until is None or at < self.until)


@dataclass(slots=True, eq=False)
class Person:
    """Somebody with an address, and what is known of them for sure.

    ``links`` are the newest by the letter of their path. ``is_in``: was surely taken in. ``may_be_out``: something was
    tried that lets them go. ``came_back`` are the moments at which they tried that.
    """

    address: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    links: dict[str, str] = field(default_factory=dict)
    silences: list[Silence] = field(default_factory=list)
    came_back: list[dt.datetime] = field(default_factory=list)
    is_in: bool = False
    may_be_out: bool = False
    is_erased: bool = False

    def fall_silent(self, kind: str, since: dt.datetime) -> None:
        """No mail from now on."""
        self.silences.append(Silence(kind, since))

    def break_silence(self, at: dt.datetime, *kinds: str) -> None:
        """From then on mail may come again, as far as these are concerned."""
        for silence in self.silences:
            if silence.kind in kinds and silence.until is None:
                silence.until = at


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page answered."""

    status: int
    text: str


class Town:
    """Everybody, and the doors of the newsletter's pages. ``faults`` are answers that nobody should get."""

    def __init__(self, clock: Clock, ports: list[int], seed: int) -> None:
        self.clock, self.ports = clock, ports
        self._luck = Luck(seed, "town")
        self._lock = threading.Lock()
        self.people: dict[str, Person] = {}
        self.scanned: queue.Queue[str] = queue.Queue(400)
        self.answers: Counter[str] = Counter()
        self.acts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._visitors = 0

    def person(self, address: str) -> Person:
        """The one with that address."""
        with self._lock:
            return self.people.setdefault(address.lower(), Person(address.lower()))

    def somebody(self, luck: Luck) -> Person:
        """Anybody."""
        with self._lock:
            return luck.any_of(list(self.people.values()))

    def deliver(self, mail: Taken) -> None:
        """Put a mail's links where its reader finds them, and some before a scanner."""
        person = self.person(mail.address)
        person.links.update({link[1]: link for link in mail.links})
        if self._luck.one_in(SCANNED):
            for link in mail.links[:6]:
                try:
                    self.scanned.put_nowait(link)
                except queue.Full:
                    return

    def ask(
        self,
        method: str,
        path: str,
        form: list[tuple[str, str]] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer | None:
        """One request to one of the servers; None when no answer came: it may have been killed."""
        with self._lock:
            self._visitors += 1
            number = self._visitors
        visitor = f"198.{18 + number // 65_536 % 2}.{number // 256 % 256}.{number % 256}"
        given = {"X-Forwarded-For": visitor, **(headers or {})}
        if form is not None:
            body = urlencode(form).encode()
            given["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[number % len(self.ports)], timeout=40)
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            answer = Answer(response.status, response.read().decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException) as error:
            kind = "too late" if isinstance(error, TimeoutError) else "none"
            with self._lock:
                self.answers[kind] += 1
                if kind == "too late":
                    self.faults.append(f"{method} {path[:3]}: no answer within 40 s")
            return None
        finally:
            connection.close()
        with self._lock:
            self.answers[f"{answer.status}"] += 1
            if answer.status >= 500:
                self.faults.append(f"{method} {path[:6]} was answered with {answer.status}")
        return answer

    def post(self, path: str, *fields: tuple[str, str]) -> Answer | None:
        """Send a form."""
        return self.ask("POST", path, list(fields))


class Citizen:
    """One thread's worth of people who do things, one at a time."""

    def __init__(self, town: Town, luck: Luck, name: str) -> None:
        self._town, self._luck, self._name = town, luck, name
        self._born = 0

    def live(self, ended: threading.Event) -> None:
        """Do one thing after the other until the storm has ended."""
        while not ended.wait(self._luck.between(0.02, 0.4)):
            act = self._luck.of(ACTS)
            if act is Citizen.subscribe:
                self._born += 1
                person = self._town.person(f"{self._name}{self._born}@example.com")
            else:
                person = self._town.somebody(self._luck)
            with person.lock:
                if not person.is_erased:
                    act(self, person)
                    self._town.acts[act.__name__] += 1

    def subscribe(self, person: Person) -> None:
        """Ask for the newsletter."""
        often = self._luck.of({"every": 8, "weekly": 2, "monthly": 1})
        wishes = [("subscribe", "yes"), ("address", person.address), ("frequency", often), *self._topics()]
        self._town.post("/subscribe", *wishes)

    def ask_again(self, person: Person) -> None:
        """Ask for it, though one has it, or has left it."""
        self.subscribe(person)

    def confirm(self, person: Person) -> None:
        """Press the button behind the letter's link."""
        if link := person.links.get("c"):
            began = self._town.clock.now()
            answer = self._town.post(link, ("confirm", "yes"))
            if answer is None or answer.status == 200:
                person.came_back.append(began)
                person.break_silence(began, *LIFTED_BY_PERSON)
                person.is_in |= answer is not None

    def choose(self, person: Person) -> None:
        """Change what comes, or pause, or end a pause."""
        if link := person.links.get("p"):
            pause = self._luck.of({"none": 6, "keep": 3, "pause-30": 1})
            began = self._town.clock.now()
            often, form = self._luck.of({"every": 8, "weekly": 2}), self._luck.of({"html": 4, "text": 1})
            wishes = [("save", "yes"), ("frequency", often), ("format", form), ("time_zone", ""), ("pause", pause)]
            answer = self._town.post(link, *wishes, *self._topics())
            if pause != "keep":
                person.break_silence(began, "paused")
            if pause == "pause-30" and answer is not None and answer.status == 200 and "Saved." in answer.text:
                person.fall_silent("paused", self._town.clock.now())

    def want_less(self, person: Person) -> None:
        """Take what the page offers in place of leaving."""
        if link := person.links.get("u"):
            self._town.post(link, ("instead", self._luck.any_of(["weekly", "topics"])), ("topic", TOPICS[0]))

    def leave(self, person: Person) -> None:
        """Leave by the page, or by the mail program's own button; and perhaps take that back."""
        if link := person.links.get("u"):
            person.may_be_out = True
            way = self._luck.any_of([("leave", "yes"), ("List-Unsubscribe", "One-Click")])
            answer = self._town.post(link, way)
            if answer is not None and answer.status == 200:
                person.fall_silent("unsubscribed", self._town.clock.now())
            if answer is not None and (found := _UNDO.search(answer.text)):
                person.links["n"] = found.group()

    def undo(self, person: Person) -> None:
        """Take the last leaving back."""
        if link := person.links.pop("n", ""):
            began = self._town.clock.now()
            person.came_back.append(began)
            person.break_silence(began, *LIFTED_BY_PERSON)
            self._town.post(link, ("undo", "yes"))

    def be_erased(self, person: Person) -> None:
        """Ask for the letter with the link to one's data, or delete all behind it."""
        if link := person.links.get("d"):
            person.may_be_out = person.is_erased = True
            answer = self._town.post(link, ("do", "delete"), ("sure", "yes"))
            if answer is not None and answer.status == 200:
                person.fall_silent("erased", self._town.clock.now())
        elif link := person.links.get("p"):
            self._town.post(f"{link}/data", ("send", "yes"))

    def vote(self, person: Person) -> None:
        """Say whether a piece was worth the time."""
        if link := person.links.get("f"):
            self._town.post(link, ("worth", self._luck.any_of(["yes", "no"])))

    def read(self, person: Person) -> None:
        """Look at the public pages."""
        pages = [
            "/",
            "/issues",
            "/issues/1",
            "/feed.xml",
            "/subscribe",
            "/lost",
            "/readyz",
            "/issues/99999",
            "/c/x.1.y",
        ]
        self._town.ask("GET", self._luck.any_of(pages))

    def _topics(self) -> list[tuple[str, str]]:
        if self._luck.one_in(2):
            return [("follow", "everything")]
        return [("follow", "chosen"), *(("topic", key) for key in self._luck.some_of(list(TOPICS), 3))]


ACTS: dict[Callable[[Citizen, Person], None], float] = {
    Citizen.subscribe: 10,
    Citizen.ask_again: 6,
    Citizen.confirm: 24,
    Citizen.choose: 14,
    Citizen.want_less: 4,
    Citizen.leave: 7,
    Citizen.undo: 8,
    Citizen.be_erased: 5,
    Citizen.vote: 10,
    Citizen.read: 12,
}


def scan(town: Town, ended: threading.Event) -> None:
    """Follow links of mails by GET and HEAD, as the programs do that look for malware: nothing may come of it."""
    while not ended.is_set():
        try:
            link = town.scanned.get(timeout=0.2)
        except queue.Empty:
            continue
        for method in ("HEAD", "GET"):
            town.ask(method, link)
            town.acts["scan"] += 1
        time.sleep(0.01)
