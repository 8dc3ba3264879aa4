"""The benchmark of the fan-out runs as it stands: its clients are served, and hear what the server counts."""

import subprocess
import sys

from tests.conftest import ROOT


def test_the_fan_out_is_measured() -> None:
    command = [
        sys.executable,
        "-m",
        "bench.live",
        "--kinds",
        "ours",
        "--clients",
        "5",
        "--seconds",
        "0.1",
        "--rounds",
        "1",
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    rows = [[cell.strip() for cell in line.split("|")] for line in ran.stdout.splitlines() if " ours " in line]
    assert [(row[1], row[-3], row[-2]) for row in rows] == [("L1 ours", "0", "agrees"), ("L2 ours", "0", "agrees")]
