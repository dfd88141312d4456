"""What the provider reports of mails that it took: signed posts, in any order, twice, long ago, and forged ones."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from newsletter.events.sendgrid import SIGNATURE_HEADER, TIMESTAMP_HEADER
from scripts.storm.carriers import Taken
from scripts.storm.luck import Luck
from scripts.storm.people import Person, Town

MOST = 20
SILENCING = {"bounce": "hard_bounce", "spamreport": "complaint", "unsubscribe": "unsubscribed"}
"""Events after which no mail may come, with what stands against it then."""

ENDS: dict[tuple[str, ...], float] = {
    ("delivered",): 88,
    ("deferred", "delivered"): 4,
    ("bounce",): 1,
    ("blocked",): 3,
    ("delivered", "spamreport"): 1,
    ("delivered", "unsubscribe"): 1,
    ("dropped",): 1,
    (): 1,
}
"""What becomes of a mail."""


@dataclass(slots=True, eq=False)
class Report:
    """One event as SendGrid posts it. ``tried_at`` is when it was posted first, by the storm's clock."""

    item: dict[str, Any]
    person: Person
    tried_at: dt.datetime | None = None


class Reporter:
    """Posts the events of every mail that it hears of."""

    def __init__(self, town: Town, luck: Luck, list_id: str) -> None:
        self._town, self._luck, self._list_id = town, luck, list_id
        self._key, self._forger = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self._lock = threading.Lock()
        self._waiting: list[Report] = []
        self._posted: list[tuple[bytes, dict[str, str]]] = []
        self.posts: Counter[str] = Counter()
        self.faults: list[str] = []

    @property
    def public_key(self) -> str:
        """What `delivery.webhook_key` is to be."""
        key = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(key).decode()

    def hear(self, mail: Taken) -> None:
        """Decide what becomes of a mail, to be reported."""
        ends = ("delivered",) if mail.is_letter else self._luck.of(ENDS)
        names = ("processed", *ends) if self._luck.one_in(1.4) else ends
        person = self._town.person(mail.address)
        with self._lock:
            self._waiting += (Report(self._item(mail, name), person) for name in names)

    def _item(self, mail: Taken, name: str) -> dict[str, Any]:
        event = {"event": name, "key": mail.key, "list": self._list_id, "email": mail.address}
        moment = int(mail.at.timestamp())
        return {**event, "timestamp": moment, "sg_event_id": f"{name}-{mail.key}-{moment}", "reason": "made"}

    def live(self, ended: threading.Event) -> None:
        """Post until the storm has ended."""
        while not ended.wait(self._luck.between(0.05, 0.4)):
            self.post_some()
            if self._luck.one_in(8):
                self._forge()
            if self._luck.one_in(8) and self._posted:
                self._repeat(*self._luck.any_of(self._posted))

    def post_some(self) -> None:
        """Post some of what waits, in any order; what is not answered with 200 waits on."""
        with self._lock:
            chosen = self._luck.some_of(self._waiting, MOST)
            self._waiting = [report for report in self._waiting if report not in chosen]
        if not chosen:
            return
        now = self._town.clock.now()
        for report in chosen:
            report.tried_at = report.tried_at or now
            if report.item["event"] in SILENCING:
                report.person.may_be_out = True
        body = json.dumps([report.item for report in chosen]).encode()
        headers = self._signed(self._key, body)
        answer = self._town.ask("POST", "/hooks/sendgrid", body=body, headers=headers)
        self.posts["good"] += 1
        if answer is None or answer.status != 200:
            if answer is not None:
                self.faults.append(f"a good post was answered with {answer.status}")
            with self._lock:
                self._waiting += chosen
            return
        answered = self._town.clock.now()
        for report in chosen:
            self._silence(report, answered)
        self._posted = [*self._posted[-50:], (body, headers)]
        if self._luck.one_in(5):
            self._repeat(body, headers)

    def post_all(self, until: float) -> None:
        """Post all that waits, while somebody answers, and the machine's running time is not ``until``."""
        while self._waiting and time.monotonic() < until:
            before = len(self._waiting)
            self.post_some()
            if len(self._waiting) >= before:
                return

    def _silence(self, report: Report, answered: dt.datetime) -> None:
        kind = SILENCING.get(report.item["event"], "")
        if not kind:
            return
        with report.person.lock:
            # A report that was kept at its first, unanswered post does nothing at its second.
            came_back = any(report.tried_at is None or at >= report.tried_at for at in report.person.came_back)
            if not report.person.is_erased and not (kind == "unsubscribed" and came_back):
                report.person.fall_silent(kind, answered)

    def _repeat(self, body: bytes, headers: dict[str, str]) -> None:
        self.posts["replayed"] += 1
        answer = self._town.ask("POST", "/hooks/sendgrid", body=body, headers=headers)
        if answer is not None and answer.status != 200:
            self.faults.append(f"a replayed post was answered with {answer.status}")

    def _forge(self) -> None:
        """A complaint of somebody who did not complain: signed by another, or days ago, or not what was signed."""
        address = self._town.somebody(self._luck).address
        item = {"event": "spamreport", "key": "1-1", "list": self._list_id, "email": address, "sg_event_id": "forged"}
        body = json.dumps([item]).encode()
        kind = self._luck.any_of(["forged", "stale", "altered"])
        headers = {
            "forged": self._signed(self._forger, body),
            "stale": self._signed(self._key, body, ago=3 * 86_400),
            "altered": self._signed(self._key, body + b" "),
        }[kind]
        self.posts[kind] += 1
        answer = self._town.ask("POST", "/hooks/sendgrid", body=body, headers=headers)
        if answer is not None and answer.status != 403:
            self.faults.append(f"a {kind} post was answered with {answer.status}")

    def _signed(self, key: ec.EllipticCurvePrivateKey, body: bytes, ago: int = 0) -> dict[str, str]:
        at = str(int(self._town.clock.now().timestamp()) - ago)
        made = key.sign(at.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {SIGNATURE_HEADER: base64.b64encode(made).decode(), TIMESTAMP_HEADER: at}
