"""The doors held against what they say of themselves, by schemathesis: all that may be sent, and much that may not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Running

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
REST = ("--phases", "examples,coverage,fuzzing", "--exclude-checks", "nothing_unforeseen")
# A code of ours is an answer, too; and what has a side effect is for other tests.
GRAPHQL = (
    *("--phases", "fuzzing", "--checks", "nothing_unforeseen"),
    *("--include-name-regex", "^Query"),
)


def run(url: str, *options: str) -> None:
    """Fails with what was found."""
    command: list[str | Path] = [SCHEMATHESIS, "--config-file", CONFIG, "run", url, "--no-color", *options]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_rest_door_does_what_its_openapi_document_says(sandbox: Running) -> None:
    run(f"{sandbox.url}/api/openapi.json", *REST, "--max-examples", "5", "--generation-deterministic")


def test_graphql_answers_whatever_its_schema_lets_one_ask(sandbox: Running) -> None:
    run(sandbox.graphql, *GRAPHQL, "--max-examples", "3", "--generation-deterministic")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("path", "options"), [("/api/openapi.json", REST), ("/graphql", GRAPHQL)])
def test_both_at_length(sandbox: Running, path: str, options: tuple[str, ...]) -> None:
    run(sandbox.url + path, *options, "--max-examples", "300")
