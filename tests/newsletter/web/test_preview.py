"""The preview's server: made anew when something changes, for this machine alone, and loading nothing."""

from __future__ import annotations

import base64
import hashlib
import itertools
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from newsletter.web.preview import PAGE, Preview, application, stamp_of

HOST = "127.0.0.1:8123"
PAGE_TEXT = (
    b"<!doctype html><title>x</title><iframe srcdoc='&lt;script&gt;evil()&lt;/script&gt;'></iframe><script>a()</script>"
)


def client(files: dict[str, bytes] | None = None, host: str = HOST) -> TestClient:
    preview = Preview(lambda stamp: files or {PAGE: PAGE_TEXT, "edition-a.html": b"<b>mail</b>"}, lambda: "now")
    return TestClient(application(preview, "secret", [HOST]), base_url=f"http://{host}", follow_redirects=False)


def test_files_are_made_once_for_each_state_of_what_they_are_made_of() -> None:
    made, state = itertools.count(1), ["one"]
    preview = Preview(lambda stamp: {PAGE: f"{stamp} {next(made)}".encode()}, lambda: state[0])
    assert [preview.file(PAGE), preview.file(PAGE)] == [b"one 1", b"one 1"]
    state[0] = "two"
    assert preview.file(PAGE) == b"two 2"
    assert preview.file("absent") is None


def test_a_stamp_changes_with_any_file_and_only_then(tmp_path: Path) -> None:
    folder, file = tmp_path / "templates", tmp_path / "newsletter.toml"
    (folder / "email").mkdir(parents=True)
    places = [folder, file]
    seen = [stamp_of(places), stamp_of(places)]
    file.write_text("a")
    seen.append(stamp_of(places))
    (folder / "email" / "issue.txt").write_text("a")
    seen.append(stamp_of(places))
    (folder / "email" / "issue.txt").write_text("ab")
    seen.append(stamp_of(places))
    file.unlink()
    seen.append(stamp_of(places))
    assert seen[0] == seen[1]
    assert len(set(seen)) == 5


@pytest.mark.parametrize("path", ["/", "/stamp", "/wrong/", "/secret", "/secret/absent", "/secret/../x", "/secret/a/b"])
def test_without_the_secret_there_is_nothing(path: str) -> None:
    assert client().get(path).status_code == 404


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1", "127.0.0.1:8124", "localhost.evil.example.com:8123"])
@pytest.mark.parametrize("path", ["/secret/", "/secret/stamp", "/secret/edition-a.html"])
def test_a_strange_host_is_refused(host: str, path: str) -> None:
    answer = client(host=host).get(path)
    assert answer.status_code == 421
    assert b"mail" not in answer.content and b"now" not in answer.content


def test_the_page_runs_its_own_script_and_loads_nothing() -> None:
    answer = client().get("/secret/")
    own = base64.b64encode(hashlib.sha256(b"a()").digest()).decode()
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["script-src"] == f"'sha256-{own}'"
    assert (policy["default-src"], policy["connect-src"], policy["img-src"]) == ("'none'", "'self'", "data:")
    assert answer.headers["cache-control"] == "no-store"
    assert client().get("/secret/stamp").text == "now"


def test_a_mail_by_itself_stands_in_a_sandbox() -> None:
    answer = client().get("/secret/edition-a.html")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert client().post("/secret/").status_code == 405
