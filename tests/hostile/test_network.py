"""The real door with the real connector, where what must never be asked is really there: in a network of its own.

A process without a network to the outside (network_namespaces(7)) gives its loopback interface the addresses of a
metadata service and of private hosts, and listens on all of them. Nothing there must ever be connected to.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_UNSHARE = ["unshare", "--user", "--map-root-user", "--net"]


def _missing() -> str:
    """What this machine lacks for a network of its own; empty when it lacks nothing."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return "unshare (util-linux) and ip (iproute2) are not both here"
    tried = subprocess.run([*_UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True, timeout=30, check=False)
    return "" if tried.returncode == 0 else "this system lets nobody have a network of their own"


@pytest.mark.slow
def test_in_a_network_with_private_addresses_none_of_them_is_connected_to() -> None:
    if why := _missing():
        pytest.skip(f"{why}: the door was not tried among real private addresses")
    ran = subprocess.run(
        [*_UNSHARE, sys.executable, "-m", "tests.hostile.network"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["listening"] >= 10, "the addresses of the interface were not all taken"
    assert found["reachable"] == found["listening"], "a plain connection must succeed, or the test shows nothing"
    assert found["asked"] > 80 and found["answered"] == []
    assert found["connections"] == []
    assert found["allowed"] == "let in by its name and port"
