"""Picking the parts: a provider that mails real people is refused until the configuration is fit for it."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from newsletter.cli._workshop import Workshop
from newsletter.config import ConfigError, load
from newsletter.providers.files import Files
from newsletter.providers.sendgrid import SendGrid
from newsletter.providers.smtp import Server, Smtp

FIT = {
    "NEWSLETTER_WEB__BASE_URL": "https://digest.test",
    "NEWSLETTER_DELIVERY__PROVIDER": "smtp",
    "NEWSLETTER_DELIVERY__POSTAL_ADDRESS": "1 Street",
    "NEWSLETTER_DELIVERY__FROM_ADDRESS": "digest@digest.test",
}


def _workshop(folder: Path, **environment: str) -> Workshop:
    arguments = argparse.Namespace(quiet=False, verbose=0, debug=False, json=False, now="", config=None)
    (folder / "newsletter.toml").touch()
    return Workshop(arguments, load(folder, {**FIT, **environment}))


def test_sendgrid_needs_a_key_and_asks_the_host_of_the_environment(tmp_path: Path) -> None:
    chosen = {"NEWSLETTER_DELIVERY__PROVIDER": "sendgrid"}
    with pytest.raises(ConfigError, match="SENDGRID_API_KEY is not set"):
        _workshop(tmp_path, **chosen).provider()
    with pytest.raises(ConfigError, match=r"SENDGRID_HOST: .* is no http"):
        _workshop(tmp_path, **chosen, SENDGRID_API_KEY="SG.x", SENDGRID_HOST="api.test").provider()
    list_id = "ai-research-digest.digest.test"
    for host in ("https://api.sendgrid.com", "https://api.eu.test"):
        found = _workshop(tmp_path, **chosen, SENDGRID_API_KEY="SG.x", SENDGRID_HOST=host).provider()
        assert found == SendGrid("SG.x", host, list_id=list_id)
    assert _workshop(tmp_path, **chosen, SENDGRID_API_KEY="SG.x").provider() == SendGrid("SG.x", list_id=list_id)


def test_files_need_no_more_than_a_folder(tmp_path: Path) -> None:
    given = _workshop(tmp_path, NEWSLETTER_DELIVERY__PROVIDER="files", NEWSLETTER_DELIVERY__POSTAL_ADDRESS="")
    assert given.provider() == Files(tmp_path / "data" / "outbox")


def test_a_provider_that_there_is_not_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no provider 'pigeon'; known: files, "):
        _workshop(tmp_path, NEWSLETTER_DELIVERY__PROVIDER="pigeon").provider()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WEB__BASE_URL", "http://digest.test"),
        ("WEB__BASE_URL", "https://newsletter.example.com"),
        ("DELIVERY__POSTAL_ADDRESS", " "),
        ("DELIVERY__FROM_ADDRESS", "digest@example.com"),
        ("DELIVERY__FROM_ADDRESS", "digest@mail.Example.ORG"),
    ],
)
def test_mail_to_real_people_needs_a_way_out_a_place_and_a_sender(key: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^`{key.lower().replace('__', '.')}` is .*; \w+") as caught:
        _workshop(tmp_path, **{f"NEWSLETTER_{key}": value}).provider()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:1/x"])
def test_pages_of_this_machine_do_without_https(url: str, tmp_path: Path) -> None:
    assert isinstance(_workshop(tmp_path, NEWSLETTER_WEB__BASE_URL=url).provider(), Smtp)


def test_what_the_configuration_says_of_the_mail_server_is_what_is_used(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "dkim.pem").write_bytes(key)
    text = """
[smtp]
host = "mail.digest.test"
port = 465
security = "tls"
username = "ada"
ca_file = "ca.pem"
connections = 9
messages_per_connection = 7
timeout_seconds = 3
return_path = "bounces+{key}@digest.test"
dkim_selector = "s1"
dkim_key_file = "dkim.pem"
"""
    (tmp_path / "newsletter.toml").write_text(text)
    smtp = _workshop(tmp_path, NEWSLETTER_SMTP_PASSWORD="secret").provider()
    server = Server("mail.digest.test", 465, "tls", "ada", "secret", 3, tmp_path / "ca.pem")
    assert isinstance(smtp, Smtp) and smtp.signature is not None
    assert smtp.signature.domain == "digest.test"
    expected = Smtp(server, 9, 7, "bounces+{key}@digest.test")
    assert dataclasses.replace(smtp, signature=None) == expected
    assert "secret" not in repr(smtp)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SMTP__USERNAME": "ada"}, "NEWSLETTER_SMTP_PASSWORD is not set; set it"),
        ({"SMTP__USERNAME": "ada", "SMTP__SECURITY": "none", "SMTP__HOST": "mail.digest.test"}, "show the password"),
        ({"SMTP__DKIM_SELECTOR": "s1", "SMTP__DKIM_KEY_FILE": "absent.pem"}, r"correct `smtp\.dkim_key_file`"),
        ({"SMTP__DKIM_SELECTOR": "s1", "SMTP__DKIM_KEY_FILE": "newsletter.toml"}, "make one with `openssl genrsa"),
    ],
)
def test_a_mail_server_that_cannot_be_used_is_refused_with_the_mend(
    settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        _workshop(tmp_path, **{f"NEWSLETTER_{key}": value for key, value in settings.items()}).provider()


def test_a_selector_without_a_key_is_half_a_signature(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both or not at all"):
        _workshop(tmp_path, NEWSLETTER_SMTP__DKIM_SELECTOR="s1")
