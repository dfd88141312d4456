"""`newsletter send --sandbox`: SendGrid checks, nobody is sent anything, and the ledger does not hear of it."""

from __future__ import annotations

import pytest

from newsletter.cli._exits import Exit
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.fake_sendgrid import KEY, FakeSendGrid, status
from tests.newsletter.makers import DAY


@pytest.fixture
def drafted(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Owner:
    """An owner with a draft, a reader, and SendGrid's key."""
    monkeypatch.setenv("SENDGRID_API_KEY", KEY)
    assert owner("subscribers", "add", "ada@example.com", "--consent", "asked").code == Exit.DONE
    assert owner("build", "--now", DAY.isoformat()).code == Exit.DONE
    return owner


def test_every_edition_is_checked_and_nothing_delivered(drafted: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeSendGrid() as service:
        monkeypatch.setenv("SENDGRID_HOST", service.host)
        run = drafted("send", "--sandbox", "--json")
        assert (run.code, run.json) == (Exit.DONE, {"issue": 1, "checked": 1, "problems": []})
        assert service.sandboxed == 1 and not service.mails
        (row,) = service.payloads[0]["personalizations"]
        assert row["to"] == [{"email": "ada@example.com"}] and row["substitutions"]
    assert drafted("issues", "list", "--json").json["issues"][0]["state"] == "draft"


def test_what_sendgrid_refuses_is_shown(drafted: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeSendGrid([status(400, "Bad value", "personalizations.0.headers")]) as service:
        monkeypatch.setenv("SENDGRID_HOST", service.host)
        run = drafted("send", "--sandbox")
        assert run.code == Exit.GATE and "Bad value" in run.out and "1 had a problem" in run.out


def test_without_a_draft_or_a_key_it_says_what_to_do(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENDGRID_API_KEY", raising=False)
    assert "SENDGRID_API_KEY is not set" in owner("send", "--sandbox").err
    monkeypatch.setenv("SENDGRID_API_KEY", KEY)
    run = owner("send", "--sandbox")
    assert run.code == Exit.USAGE and "`newsletter build`" in run.err
