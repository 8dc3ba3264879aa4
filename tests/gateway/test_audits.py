"""The audits of npm `graphql-http`, another implementation of GraphQL over HTTP; `make audits` passes them."""

import re
import subprocess

import pytest

from tests.conftest import ROOT, Running


@pytest.mark.node
def test_every_audit_is_passed(sandbox: Running) -> None:
    done = subprocess.run(
        ["node", "audit.js", sandbox.graphql],
        cwd=ROOT / "tests" / "gateway" / "audits",
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert re.fullmatch(r"audits: 61 passed, 0 failed\n", done.stdout), done.stdout
