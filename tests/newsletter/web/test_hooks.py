"""Posts of SendGrid's event webhook: each gets the right status, and changes nothing that it should not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from newsletter import pipeline
from newsletter.config import Config, ConfigError
from newsletter.events.sendgrid import SIGNATURE_HEADER, TIMESTAMP_HEADER
from newsletter.store import Store
from newsletter.web import application, hooks
from tests.newsletter.events.conftest import Ledger, open_ledger
from tests.newsletter.makers import DAY
from tests.newsletter.web.conftest import press_for

__all__ = ["open_ledger"]

PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
NOW = int(DAY.timestamp())


def signature(body: bytes, at: int) -> dict[str, str]:
    """The headers of a post that SendGrid signs at a time, in seconds of the epoch."""
    signed = PRIVATE.sign(str(at).encode() + body, ec.ECDSA(hashes.SHA256()))
    return {SIGNATURE_HEADER: base64.b64encode(signed).decode(), TIMESTAMP_HEADER: str(at)}


class Answer(NamedTuple):
    """What a post was answered with."""

    status_code: int
    content: bytes


@dataclass
class Hook:
    """The page, and the ledger behind it."""

    client: TestClient
    ledger: Ledger
    list_id: str

    def item(self, name: str = "delivered", **more: Any) -> dict[str, Any]:
        """An event of SendGrid's."""
        given = {"event": name, "key": "1-1", "list": self.list_id, "email": "reader1@example.com", "timestamp": NOW}
        return {**given, "sg_event_id": f"{name}-1", **more}

    def post(
        self, body: bytes | list[dict[str, Any]], *, ago: int = 0, signed: bytes | None = None, path: str = ""
    ) -> Answer:
        """Post what was signed so many seconds ago; ``signed`` are other bytes that the signature is for."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = signature(data if signed is None else signed, NOW - ago)
        answer = self.client.post(f"{path}/hooks/sendgrid", content=data, headers=headers)
        return Answer(answer.status_code, answer.content)

    def trace(self) -> tuple[str, list[str], int]:
        """All that a post could change."""
        return self.ledger.state("1-1"), [row.ref for row in self.ledger.kept()], self.ledger.mailable()


def _client(store: Store, **delivery: str) -> TestClient:
    config = Config.model_validate({"delivery": delivery, "web": {"base_url": "https://example.org/letters"}})
    return TestClient(application(press_for(store, config)), raise_server_exceptions=False)


@pytest.fixture
def hook(store: Store, open_ledger: Callable[[int], Ledger]) -> Iterator[Hook]:
    """The page of a newsletter whose issue 1 the provider took for three readers."""
    ledger = open_ledger(3)
    ledger.issue()
    with _client(store, webhook_key=PUBLIC) as client:
        yield Hook(client, ledger, pipeline.sender(Config()).list_id)


def test_a_genuine_post_is_recorded_and_answered_with_nothing(hook: Hook) -> None:
    answer = hook.post([hook.item(), hook.item("spamreport", key="1-2"), hook.item("bounce", key="1-3")])
    assert (answer.status_code, answer.content) == (200, b"")
    assert [hook.ledger.state(f"1-{reader}") for reader in (1, 2, 3)] == ["delivered", "complained", "bounced"]
    assert hook.ledger.mailable() == 1


def test_it_is_there_below_the_path_of_the_pages_too(hook: Hook) -> None:
    assert hook.post([hook.item()], path="/letters").status_code == 200


def test_a_replay_changes_nothing(hook: Hook) -> None:
    hook.post([hook.item()])
    before = hook.trace()
    assert hook.post([hook.item(), hook.item()]).status_code == 200
    assert hook.trace() == before == ("delivered", ["sendgrid:delivered-1"], 3)


def test_events_may_come_in_any_order(hook: Hook) -> None:
    for name in ("bounce", "delivered", "deferred", "processed"):
        assert hook.post([hook.item(name)]).status_code == 200
    assert hook.ledger.state("1-1") == "bounced"


def test_an_event_of_an_unknown_key_is_kept_and_answered(hook: Hook) -> None:
    assert hook.post([hook.item(key="77-1"), hook.item("spamreport", key="x")]).status_code == 200
    assert [(row.key, row.delivery_id) for row in hook.ledger.kept()] == [("77-1", None), ("x", None)]
    assert hook.ledger.mailable() == 3


def test_what_changes_nothing(hook: Hook) -> None:
    before, good = hook.trace(), [hook.item()]
    statuses = {
        "forged": hook.post(good, signed=b"[]").status_code,
        "unsigned": hook.client.post("/hooks/sendgrid", json=good).status_code,
        "stale": hook.post(good, ago=26 * 3600).status_code,
        "future": hook.post(good, ago=-600).status_code,
        "malformed": hook.post(b'[{"event"').status_code,
        "no array": hook.post(b"7").status_code,
        "not UTF-8": hook.post(b"\xff\xfe").status_code,
        "oversized": hook.post(b" " * (hooks.LONGEST_BODY + 1)).status_code,
        "read": hook.client.get("/hooks/sendgrid").status_code,
    }
    assert statuses == {
        "forged": 403,
        "unsigned": 403,
        "stale": 403,
        "future": 403,
        "malformed": 400,
        "no array": 400,
        "not UTF-8": 400,
        "oversized": 413,
        "read": 405,
    }
    assert hook.trace() == before


def test_a_body_that_says_nothing_of_its_length_is_read_no_further_than_the_limit(hook: Hook) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while taken < 3 * hooks.LONGEST_BODY:
            taken += 100_000
            yield b" " * 100_000

    assert hook.client.post("/hooks/sendgrid", content=endless()).status_code == 413


def test_without_a_key_there_is_no_such_page(store: Store) -> None:
    assert _client(store).post("/hooks/sendgrid", json=[]).status_code == 404


def test_a_key_that_is_none_is_said_before_anything_is_served(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"delivery\.webhook_key"):
        _client(store, webhook_key="abc")


def test_what_cannot_be_committed_is_not_acknowledged(hook: Hook) -> None:
    with hook.ledger.store.write() as session:
        connection = session.connection()
        connection.exec_driver_sql("DROP TABLE event")
    assert hook.post([hook.item()]).status_code >= 500
    assert hook.ledger.state("1-1") == "accepted"
