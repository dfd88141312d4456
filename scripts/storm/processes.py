"""The processes of a storm: started with its clock, killed, started again, and each one's end on record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from scripts.storm.clock import Clock

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 90.0
"""After so long a command of the owner's hangs, and is killed."""

ENDINGS = (0, 2, 4, 5, 75)
"""How a command may end: all but as a bug, or by a signal."""

STOP_SECONDS = 20.0
"""How long a service may take to stop."""

LOADING_SECONDS = 20.0
"""A service younger than that may still be loading."""

MARK = "STORM_FOLDER"
"""Stands in the environment of every process of the storm, and of theirs."""


@dataclass(slots=True)
class Service:
    """A process that stays: `run` or a `serve`. ``memory`` are its sizes in kB, once a second, of this incarnation."""

    name: str
    words: tuple[str, ...]
    may_be_killed: bool
    process: subprocess.Popen[bytes] | None = None
    times: int = 0
    began: float = 0.0
    is_doomed: bool = False
    memory: list[int] = field(default_factory=list)


class Processes:
    """Starts and ends what it started, and nothing else. ``faults`` are ends that nobody wanted."""

    def __init__(self, folder: Path, clock: Clock, environment: Mapping[str, str]) -> None:
        self.folder, self.clock = folder, clock
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self.services: list[Service] = []
        self.faults: list[str] = []
        self.kills: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        (folder / "logs").mkdir()
        (folder / "owner").mkdir()
        self._commands = 0

    def stay(self, name: str, *words: str, may_be_killed: bool) -> None:
        """Start a service."""
        service = Service(name, words, may_be_killed)
        self.services.append(service)
        self._begin(service)

    def look(self) -> None:
        """Start again what was killed, and put down what ended without that."""
        for service in self.services:
            if service.process is None:
                continue
            code = service.process.poll()
            if code is None:
                service.memory.append(_size(service.process.pid))
            else:
                self._ended(service, code)
                self._begin(service)

    def _ended(self, service: Service, code: int) -> None:
        self.codes[f"{service.name} {code}"] += 1
        if not service.is_doomed:
            self.faults.append(f"{service.name} ({service.times}) ended by itself with {code}")

    def kill(self, service: Service) -> None:
        """`kill -9`."""
        if service.process is not None and service.process.poll() is None:
            service.is_doomed = True
            service.process.kill()
            service.process.wait()
            self.kills[service.name] += 1

    def stop(self) -> None:
        """Ask every service to end, and put down those that do not, or not well."""
        asked = list[tuple[Service, subprocess.Popen[bytes]]]()
        for service in self.services:
            process, service.process = service.process, None
            code = process.poll() if process else 0
            if process and code is None:
                process.terminate()
                asked.append((service, process))
            elif process and code is not None:
                self._ended(service, code)
        for service, process in asked:
            self._stopped(service, process)

    def _stopped(self, service: Service, process: subprocess.Popen[bytes]) -> None:
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self.codes[f"{service.name} {code}"] += 1
        # Until it has loaded all that it needs, it ends as any program does.
        is_young = time.monotonic() - service.began < LOADING_SECONDS
        if code == -signal.SIGKILL:
            self.faults.append(f"{service.name} did not stop within {STOP_SECONDS:.0f} s of SIGTERM")
        elif code and not (is_young and code == -signal.SIGTERM):
            self.faults.append(f"{service.name} ended with {code} after SIGTERM")

    def resume(self, clock: Clock, **environment: str) -> None:
        """Start every service again, with another clock and more in the environment."""
        self.clock = clock
        self._environment |= environment
        for service in self.services:
            self._begin(service)

    def command(self, *words: str, kill_after: float | None = None) -> tuple[int, str]:
        """Run a command of the owner's to its end: its code, and its stdout. It may be killed after so many seconds."""
        with self._lock:
            self._commands += 1
            log = self.folder / "owner" / f"{self._commands:04}-{'-'.join(words[:2])}.log"
        with log.open("wb") as errors:
            process = self._spawn(*words, out=subprocess.PIPE, errors=errors)
            try:
                out, _ = process.communicate(timeout=kill_after or PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                out, _ = process.communicate()
                self.kills[words[0]] += 1
            errors.write(out)
        code, is_doomed = process.returncode, kill_after is not None
        self.codes[f"{words[0]} {code}"] += 1
        if code not in ENDINGS and not (is_doomed and code == -signal.SIGKILL):
            self.faults.append(f"`newsletter {' '.join(words[:2])}` ended with {code}: see {log.name}")
        return code, out.decode()

    def _begin(self, service: Service) -> None:
        service.times += 1
        service.began, service.is_doomed, service.memory = time.monotonic(), False, []
        with (self.folder / "logs" / f"{service.name}-{service.times:03}.log").open("wb") as log:
            service.process = self._spawn(*service.words, out=log, errors=subprocess.STDOUT)

    def _spawn(self, *words: str, out: int | IO[bytes], errors: int | IO[bytes]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "scripts.storm.hurried", *words, "--config", str(self.folder)]
        given = {**os.environ, "PYTHONPATH": str(ROOT), MARK: str(self.folder), "PYTHONUNBUFFERED": "1"}
        given |= self._environment | self.clock.environment
        # In a session of its own: an interrupt from the terminal is for the storm, which then ends it.
        own: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True}
        return subprocess.Popen(command, cwd=self.folder, env=given, stdout=out, stderr=errors, **own)

    def left_behind(self) -> list[str]:
        """What still runs of all that the storm's processes started, ten seconds later at most; then it is ended."""
        ends = time.monotonic() + 10
        while (found := self._marked()) and time.monotonic() < ends:
            time.sleep(0.2)
        for number in found:
            os.kill(number, signal.SIGKILL)
        return [f"process {number} outlived the one that had started it" for number in found]

    def _marked(self) -> list[int]:
        """The processes with our mark in their environment; nothing where the system does not show it."""
        mark, found = f"{MARK}={self.folder}\0".encode(), list[int]()
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in entry.read_bytes():
                    found.append(int(entry.parent.name))
            except OSError:
                continue  # It has ended, or is another user's.
        return found


def _size(number: int) -> int:
    """The resident memory of a process, in kB; 0 where the system does not say (proc_pid_status(5), VmRSS)."""
    try:
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
