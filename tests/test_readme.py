"""What the README shows is what one gets."""

import json
import re

import graphql
import pytest

from tests.conftest import ROOT, Running

README = (ROOT / "README.md").read_text(encoding="utf-8")


async def test_the_query_of_the_readme_gives_the_answer_of_the_readme(sandbox: Running) -> None:
    [body] = re.findall(r"-d '(\{.*?\})'", README, re.DOTALL)
    [answer] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    query = json.loads(body, strict=False)["query"]
    assert await sandbox.ask(query) == json.loads(answer)


EXAMPLES = {path.stem: path.read_text(encoding="utf-8") for path in ROOT.glob("web/graphiql/src/examples/*.graphql")}


@pytest.mark.parametrize("name", ["chart", "quotes"])
async def test_the_examples_of_graphiql_run(sandbox: Running, name: str) -> None:
    assert await sandbox.data(EXAMPLES[name])


def test_every_example_of_graphiql_is_valid() -> None:
    schema = graphql.build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))
    assert set(EXAMPLES) == {"chart", "live", "quotes"}
    for text in EXAMPLES.values():
        assert graphql.validate(schema, graphql.parse(text)) == []
