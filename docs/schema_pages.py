"""The pages `schema/…` of the documentation, made of schema.graphql whenever MkDocs builds them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    build_schema,
    get_named_type,
    is_introspection_type,
    is_specified_scalar_type,
)
from graphql.utilities.print_schema import print_input_value

PAGES: Final = {
    "queries": "Queries",
    "mutations": "Mutations",
    "subscriptions": "Subscriptions",
    "types": "Types",
    "indicators": "Indicators",
    "inputs": "Inputs, enums and scalars",
}
"""The titles of the pages by their names."""

_ROOTS: Final = {"Query": "queries", "Mutation": "mutations", "Subscription": "subscriptions"}
_INDICATORS: Final = ("Indicators", "Patterns")

_Field = GraphQLField | GraphQLInputField | GraphQLArgument


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those that MkDocs has found."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - tests of the pages need no MkDocs

    sdl = Path(config.config_file_path).with_name("schema.graphql").read_text(encoding="utf-8")
    for name, text in schema_pages(build_schema(sdl)).items():
        files.append(File.generated(config, f"schema/{name}.md", content=text))
    return files


def schema_pages(schema: GraphQLSchema) -> dict[str, str]:
    """The Markdown of each page by its name: every field, argument and value of the schema, with its description."""
    pages = _Pages(schema)
    texts = {page: [f"# {title}"] for page, title in PAGES.items()}
    for name, page in sorted(pages.of_types.items(), key=lambda place: (place[0] not in _INDICATORS, place[0])):
        kind = schema.type_map[name]
        texts[page] += pages.root(kind) if name in _ROOTS else pages.type(kind)
    return {page: "\n\n".join(part for part in parts if part) + "\n" for page, parts in texts.items()}


class _Pages:
    """Where the types stand, and what is said of them."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.of_types = {
            name: _page(kind)
            for name, kind in schema.type_map.items()
            if not is_introspection_type(kind) and not is_specified_scalar_type(kind)
        }
        for name in _INDICATORS:
            indicators = schema.type_map[name]
            assert isinstance(indicators, GraphQLObjectType)
            for field in indicators.fields.values():
                if (given := get_named_type(field.type).name) in self.of_types:
                    self.of_types[given] = "indicators"

    def root(self, kind: GraphQLNamedType) -> list[str]:
        """A section for each field."""
        assert isinstance(kind, GraphQLObjectType)
        parts = []
        for name, field in kind.fields.items():
            parts += [f"## {name}", f"Gives {self._linked(field.type, _ROOTS[kind.name])}. {_text(field)}"]
            parts.append(self._table("argument", field.args, _ROOTS[kind.name]))
        return parts

    def type(self, kind: GraphQLNamedType) -> list[str]:
        """The section of a type."""
        page = self.of_types[kind.name]
        parts = [f"## {kind.name}", _text(kind)]
        if isinstance(kind, GraphQLObjectType | GraphQLInputObjectType):
            parts.append(self._table("field", kind.fields, page))
        elif isinstance(kind, GraphQLEnumType):
            rows = [f"| `{name}` | {_text(value)} |" for name, value in kind.values.items()]
            parts.append("\n".join(["| value | what it is |", "|---|---|", *rows]))
        return parts

    def _table(self, what: str, fields: Mapping[str, _Field], page: str) -> str:
        if not fields:
            return ""
        rows = [f"| `{name}` | {self._linked(field.type, page)} | {_said(field)} |" for name, field in fields.items()]
        return "\n".join([f"| {what} | type | what it is |", "|---|---|---|", *rows])

    def _linked(self, kind: GraphQLType, page: str) -> str:
        name = get_named_type(kind).name
        if name not in self.of_types:
            return f"`{kind}`"
        place = "" if self.of_types[name] == page else f"{self.of_types[name]}.md"
        return f"[`{kind}`]({place}#{name.lower()})"


def _page(kind: GraphQLNamedType) -> str:
    if kind.name in _INDICATORS:
        return "indicators"
    return _ROOTS.get(kind.name, "types" if isinstance(kind, GraphQLObjectType) else "inputs")


def _said(field: _Field) -> str:
    """What a field is, and what it takes; or what an argument is, and is unless given."""
    if isinstance(field, GraphQLField):
        taken = [f"`{print_input_value(name, argument)}` {_text(argument)}" for name, argument in field.args.items()]
        return "<br>".join([_text(field), *(part.strip() for part in taken)])
    # A field of an input has what an argument has.
    _, _, default = print_input_value("it", cast(GraphQLArgument, field)).partition(" = ")
    return " ".join([_text(field), *([f"Unless given: `{default}`."] if default not in ("", "null") else [])]).strip()


def _text(of: Any) -> str:
    """The description, in one line of a table."""
    return " ".join((of.description or "").split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
