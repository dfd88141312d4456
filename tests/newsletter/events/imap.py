"""A small, true IMAP server on loopback: one mailbox, and the commands that reading it takes (RFC 3501)."""

from __future__ import annotations

import base64
import re
import socketserver
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

USER, PASSWORD = "ada", 'pa ss"w\\rd'


@dataclass
class ImapServer:
    """The server. ``mails`` are the mailbox's by UID, ``flags`` what was set on them."""

    mails: dict[int, bytes]
    capabilities: str = "IMAP4rev1 AUTH=PLAIN UIDPLUS"
    password: str = PASSWORD
    flags: dict[int, set[str]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    hang_up_at: str = ""

    def __enter__(self) -> Self:
        served = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(f"* OK [CAPABILITY {served.capabilities}] ready\r\n".encode())
                while line := self.rfile.readline():
                    tag, _, command = line.decode("latin-1").strip().partition(" ")
                    served.commands.append(command)
                    if served.hang_up_at and command.startswith(served.hang_up_at):
                        return
                    for answer in served._answers(tag, command, self):
                        self.wfile.write(answer)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Connection)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its mailbox."""
        return f"imap://{USER}@127.0.0.1:{self.port}/INBOX"

    def _answers(self, tag: str, command: str, connection: socketserver.StreamRequestHandler) -> list[bytes]:
        ok, no = f"{tag} OK done\r\n".encode(), f"{tag} NO not that\r\n".encode()
        verb = command.upper()
        if verb.startswith("CAPABILITY"):
            return [f"* CAPABILITY {self.capabilities}\r\n".encode(), ok]
        if verb.startswith("AUTHENTICATE PLAIN"):
            connection.wfile.write(b"+ \r\n")
            given = base64.b64decode(connection.rfile.readline()).decode().split("\0")
            return [ok if given == ["", USER, self.password] else no]
        if verb.startswith("LOGIN"):
            quoted = self.password.replace("\\", "\\\\").replace('"', '\\"')
            return [ok if command == f'LOGIN "{USER}" "{quoted}"' else no]
        if verb.startswith("SELECT"):
            return [f"* {len(self.mails)} EXISTS\r\n".encode(), ok] if command == 'SELECT "INBOX"' else [no]
        if verb.startswith("LOGOUT"):
            return [b"* BYE\r\n", ok]
        return [*self._uid(command), ok]

    def _uid(self, command: str) -> list[bytes]:
        if command == "UID SEARCH UNSEEN":
            unseen = [str(uid) for uid in self.mails if r"\Seen" not in self.flags.get(uid, set())]
            return [f"* SEARCH {' '.join(unseen)}\r\n".encode()]
        if found := re.fullmatch(r"UID FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", command):
            data = self.mails[int(found[1])][: int(found[2])]
            head = f"* 1 FETCH (UID {found[1]} BODY[]<0> {{{len(data)}}}\r\n".encode()
            return [head, data, b")\r\n"]
        if found := re.fullmatch(r"UID STORE ([\d,]+) \+FLAGS\.SILENT \((.*)\)", command):
            for uid in found[1].split(","):
                self.flags.setdefault(int(uid), set()).update(found[2].split())
            return []
        if found := re.fullmatch(r"UID EXPUNGE ([\d,]+)", command):
            for uid in found[1].split(","):
                if r"\Deleted" in self.flags[int(uid)]:
                    del self.mails[int(uid)]
            return []
        raise AssertionError(command)
