"""The measure of grounding: where its targets are met, and by how much the hardest set misses them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

MOST_ACCUSED = 16
"""Claims of the freer writer's last set that are accused today: 0.070, where the target is 0.02."""
ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_planted_faults_are_found_and_true_claims_are_not_accused() -> None:
    environment = {"PYTHONPATH": str(ROOT)}
    script = [sys.executable, str(ROOT / "scripts" / "bench_writing.py")]
    done = subprocess.run(script, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for count, articles in ((204, 8), (210, 8), (211, 8), (230, 10), (228, 10), (263, 10)):
        assert f"{count} true claims about {articles} articles" in done.stdout
    for name in ("seen", "blind", "prompted"):
        assert f"{name}: all targets are met" in done.stdout, done.stdout
    # What is missed where the writer reckons is told, and stays as small as it is.
    verdict = re.search(r"blind3: (.*)", done.stdout)
    accused = re.search(r"by the freer writer: 228 .*\n +false alarms +(\d+) of", done.stdout)
    assert verdict and accused and int(accused[1]) <= MOST_ACCUSED, done.stdout
