"""The measure of grounding meets its targets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_planted_faults_are_found_and_true_claims_are_not_accused() -> None:
    environment = {"PYTHONPATH": str(ROOT)}
    script = [sys.executable, str(ROOT / "scripts" / "bench_writing.py")]
    done = subprocess.run(script, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for count in (204, 210, 211):
        assert f"{count} true claims about 8 articles" in done.stdout
    assert "All targets are met." in done.stdout
