"""What the README shows is what one gets."""

import json
import re

from tests.conftest import ROOT, Running

README = (ROOT / "README.md").read_text(encoding="utf-8")


async def test_the_query_of_the_readme_gives_the_answer_of_the_readme(sandbox: Running) -> None:
    [body] = re.findall(r"-d '(\{.*?\})'", README, re.DOTALL)
    [answer] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    query = json.loads(body, strict=False)["query"]
    assert await sandbox.ask(query) == json.loads(answer)
