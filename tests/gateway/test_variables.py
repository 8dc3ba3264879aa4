"""Variables are coerced as graphql-core coerces them, whether by a compiled function or by its own."""

from typing import Any

import pytest
from graphql import GraphQLError, OperationDefinitionNode, get_variable_values, parse

from gateway.variables import MAX_ERRORS, Variables
from schema.build import build_schema

CORE = build_schema().core
DECLARATIONS = [
    *("$v: Symbol!", "$v: Symbol", "$v: [Symbol!]!", "$v: [Symbol]", "$v: [[Symbol!]]", '$v: Symbol = "AAPL"'),
    *("$v: Int", "$v: Int!", "$v: Int = 3", "$v: Float!", "$v: Boolean!", "$v: String", "$v: ID!"),
    *("$v: Interval!", "$v: Interval = D1", "$v: DateTime", "$v: [DateTime!]", "$v: Nothing", "$v: Quote"),
    *("$v: Symbol!, $w: Int = 2", "$w: Int!, $v: Symbol"),
]
GIVEN: list[dict[str, Any]] = [
    *({}, {"v": None}, {"v": "AAPL"}, {"v": ["AAPL", "MSFT"]}, {"v": ["AAPL", None]}, {"v": []}, {"v": [["A"], []]}),
    *(
        {"v": 3},
        {"v": 3.0},
        {"v": 3.5},
        {"v": 2**31},
        {"v": True},
        {"v": "3"},
        {"v": {"a": 1}},
        {"v": "D1"},
        {"v": "D2"},
    ),
    *({"v": "2024-01-01T00:00:00+02:00"}, {"v": "2024-01-01T00:00:00"}, {"v": "AAPL", "w": 5}, {"v": "A", "x": 1}),
    *({"v": ("A", "B")}, {"v": float("nan")}),
]


def shown(values: Any) -> Any:
    if isinstance(values, list):
        return [error.formatted for error in values]
    return values.coerced, {name: (str(of.signature.type), of.value) for name, of in values.sources.items()}


@pytest.mark.parametrize("declared", DECLARATIONS)
def test_variables_are_what_graphql_core_makes_of_them(declared: str) -> None:
    operation = parse(f"query ({declared}) {{ __typename }}").definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    variables = Variables(CORE, operation)
    for given in GIVEN:
        expected = get_variable_values(CORE, operation.variable_definitions or (), given, max_errors=MAX_ERRORS)
        assert repr(shown(variables.coerced(given, hide_suggestions=False))) == repr(shown(expected)), given


def test_errors_end_after_some() -> None:
    operation = parse("query ($v: [Int!]!) { __typename }").definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    errors = Variables(CORE, operation).coerced({"v": ["x"] * 100}, hide_suggestions=True)
    assert isinstance(errors, list)
    assert all(isinstance(error, GraphQLError) for error in errors)
    assert len(errors) == MAX_ERRORS + 1
