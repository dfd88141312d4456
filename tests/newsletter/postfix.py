"""A real Postfix on loopback for tests: TLS, a login, and one mailbox for everybody. Everything of it is in a folder of
its own, and ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.newsletter.mailserver import certificate

NAME, PASSWORD = "digest@example.com", "a password of the test"
NOBODY = 65534
PROGRAMS = ("postfix", "saslpasswd2")

_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
"""Postfix's own list of these (master.cf), with none of them in a chroot."""


def why_not() -> str:
    """Why Postfix cannot be run here; empty when it can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed (Debian: postfix, sasl2-bin, libsasl2-modules)"
    return "" if os.getuid() == 0 else "only root can start Postfix"


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix. ``trusted`` is what a client must trust for its certificate."""

    port: int
    trusted: Path
    folder: Path

    def mails(self) -> list[bytes]:
        """The mails that are in the mailbox."""
        return [path.read_bytes() for path in sorted((self.folder / "mail" / "all" / "new").glob("*"))]

    def wait_for(self, count: int, seconds: float = 60.0) -> list[bytes]:
        """The mails, as soon as there are so many. Raises TimeoutError with the end of Postfix's log."""
        ends = time.monotonic() + seconds
        while len(found := self.mails()) < count:
            if time.monotonic() > ends:
                raise TimeoutError(f"{len(found)} of {count} mails; {self.log()[-2000:]}")
            time.sleep(0.1)
        return found

    def log(self) -> str:
        """What Postfix wrote about itself."""
        file = self.folder / "log"
        return file.read_text("utf-8", "replace") if file.exists() else ""


@contextmanager
def running() -> Iterator[Postfix]:
    """Postfix, ready to take mail for anybody at example.com from who logs in by (NAME, PASSWORD) over TLS."""
    # Not below pytest's folder: Postfix works as another user, who may not enter that.
    folder = Path(tempfile.mkdtemp(prefix="newsletter-postfix-"))
    try:
        folder.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        made = Postfix(port, _configure(folder, port), folder)
        process = subprocess.Popen(
            ["postfix", "-c", str(folder / "config"), "start-fg"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_open(made, process)
            yield made
        finally:
            _stop(folder, process)
    finally:
        shutil.rmtree(folder)


def _configure(folder: Path, port: int) -> Path:
    """Write everything that Postfix reads. Returns the certificate."""
    for name in ("config", "config/sasl", "spool", "data", "mail", "tls"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    os.chown(folder / "mail", NOBODY, NOBODY)
    _, trusted = certificate(folder / "tls")
    # Debian's Postfix looks there, wherever it is told to look.
    _write_login(folder / "config" / "sasl")
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": folder / "spool",
        "data_directory": folder / "data",
        "maillog_file": folder / "log",
        "maillog_file_prefixes": folder,
        "myhostname": "mail.example.com",
        "mydestination": "",
        "mynetworks": "",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_auth_only": "yes",
        "smtpd_tls_cert_file": trusted,
        "smtpd_tls_key_file": folder / "tls" / "key.pem",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_path": "newsletter",
        "cyrus_sasl_config_path": folder / "config" / "sasl",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "virtual_mailbox_domains": "example.com",
        "virtual_mailbox_base": folder / "mail",
        "virtual_mailbox_maps": "static:all/",
        "virtual_uid_maps": f"static:{NOBODY}",
        "virtual_gid_maps": f"static:{NOBODY}",
    }
    config = folder / "config"
    (config / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    (config / "master.cf").write_text(_SERVICES.format(port=port))
    return trusted


def _write_login(folder: Path) -> None:
    users = folder / "users"
    settings = {
        "pwcheck_method": "auxprop",
        "auxprop_plugin": "sasldb",
        "mech_list": "PLAIN LOGIN",
        "sasldb_path": users,
    }
    (folder / "newsletter.conf").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    name, _, domain = NAME.partition("@")
    command = ["saslpasswd2", "-p", "-c", "-f", str(users), "-u", domain, name]
    subprocess.run(command, input=PASSWORD.encode(), check=True, timeout=20)
    shutil.chown(users, "postfix")


def _wait_until_open(made: Postfix, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", made.port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"Postfix did not start: {made.log()}") from None
            time.sleep(0.05)
        else:
            return


def _stop(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """End Postfix by the number of its master, which it wrote down."""
    numbers = folder / "spool" / "pid" / "master.pid"
    if numbers.exists():
        os.kill(int(numbers.read_text().strip()), signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
