"""Pages of docs/ that are made of the code. Written anew by: python -m tests.test_docs"""

import re
from collections.abc import Callable, Iterator
from typing import cast

import click
import pytest
import yaml
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType
from pydantic.fields import FieldInfo

import errors
from cli import commands
from docs.schema_pages import PAGES as SCHEMA_PAGES
from docs.schema_pages import schema_pages
from gateway.answer import status_of
from schema.build import build_schema
from settings import Settings
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def errors_page() -> str:
    """Every code, by the branch of the tree that it is on."""

    def rows(kind: type[errors.SmartFinError]) -> Iterator[type[errors.SmartFinError]]:
        for sub in _below(kind):
            if not _below(sub):
                yield sub

    def row(kind: type[errors.SmartFinError]) -> str:
        status = status_of(kind.code, 400 if issubclass(kind, errors.RequestError) else 502)
        text = " ".join((kind.__doc__ or "").split())
        return f"| `{kind.code}` | {status} | {text} |"

    def section(kind: type[errors.SmartFinError]) -> list[str]:
        text = (kind.__doc__ or "").strip()
        lines = ["", f"## {_title(kind)}", "", text, "", "| code | status | what it is |", "|---|---|---|"]
        return [*lines, *(row(leaf) for leaf in rows(kind))]

    branches = [kind for kind in _all(errors.SmartFinError) if _below(kind)]
    others = [row(kind) for kind in rows(errors.SmartFinError) if kind is not errors.StartError]
    return "\n".join(
        [
            ERRORS_HEAD,
            *(line for kind in branches for line in section(kind)),
            *("", "## The server's own", "", "| code | status | what it is |", "|---|---|---|"),
            *others,
            "",
        ]
    )


def _all(kind: type[errors.SmartFinError]) -> Iterator[type[errors.SmartFinError]]:
    for sub in _below(kind):
        yield sub
        yield from _all(sub)


def _below(kind: type[errors.SmartFinError]) -> list[type[errors.SmartFinError]]:
    return [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]


def _title(kind: type[errors.SmartFinError]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).capitalize()


ERRORS_HEAD = """# Errors

Made from `errors.py` by the tests. Each entry of `errors` has a `message`, which says what is wrong, with which value,
and what to do, and `extensions.code`, which is for programs: a code keeps its meaning, a message may be reworded. An
error of a field stands beside `data` and has a `path`; one bad symbol never blanks the others. A request that is not
executed at all has `errors` and no `data`.

*Status* is what [the REST door](rest.md) answers, which says `RATE_LIMIT_EXCEEDED` for `RATE_LIMITED`; and what
`/graphql` answers where nothing was executed and the client takes `application/graphql-response+json`, see
[GraphQL over HTTP](http.md)."""


def settings_page() -> str:
    """Every variable with its default and its range."""
    rows = [
        f"| `{field.alias}` | {_default(field)} | {_range(field)} | {field.description} |"
        for field in Settings.model_fields.values()
    ]
    return "\n".join([SETTINGS_HEAD, *rows, ""])


SETTINGS_HEAD = """# Settings

Made from `settings.py` by the tests. Variables of the environment, or lines of a file `.env` where SmartFin is started;
the options of a [command](commands.md) go before them. They are read once, at the start: a bad value ends it, and is
named.

| variable | default | range | what it is |
|---|---|---|---|"""


def _default(field: FieldInfo) -> str:
    if field.default_factory is None:
        return _shown(field.default)
    choose = cast(Callable[[dict[str, bool]], object], field.default_factory)
    return f"{_shown(choose({}))}, in production {_shown(choose({'production': True}))}"


def _range(field: FieldInfo) -> str:
    ends = {
        name: getattr(limit, name) for limit in field.metadata for name in ("ge", "gt", "le") if hasattr(limit, name)
    }
    words = {"ge": "from", "gt": "over", "le": "to"}
    return " ".join(f"{words[name]} {end:,}" for name, end in ends.items())


def _shown(value: object) -> str:
    match value:
        case None:
            return "unset"
        case bool():
            return "`on`" if value else "`off`"
    return f"`{value}`" if str(value) else "unset"


def commands_page() -> str:
    """What `smartfin --help` says, and the help of each command."""
    parts = [COMMANDS_HEAD]
    for name, command in sorted(commands.commands.items()):
        arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        usage = " ".join([name, *(argument.make_metavar(click.Context(command)) for argument in arguments)])
        parts += ["", f"## smartfin {usage}", "", re.sub(r"\n +", "\n", (command.help or "").strip())]
        if options:
            parts += ["", "| option | what it is |", "|---|---|"]
            parts += [f"| {_option(option)} | {_help(option)} |" for option in options]
    return "\n".join([*parts, ""])


COMMANDS_HEAD = """# Commands

Made from `smartfin --help` by the tests. `make install` puts the command at `.venv/bin/smartfin`. What goes wrong is
one line on stderr, and the command ends with 1; a wrong option ends it with 2."""


def _option(option: click.Option) -> str:
    if option.is_flag:
        return f"`{option.opts[0]}`"
    kind = option.type
    values = "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name.split(" ")[0].upper()
    return f"`{option.opts[0]} {values}`".replace("|", "\\|")


def _help(option: click.Option) -> str:
    default = f" Default: `{option.default}`." if option.show_default else ""
    return f"{option.help}{' Required.' if option.required else ''}{default}"


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "errors.md": errors_page,
    "settings.md": settings_page,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_in_step_with_the_code(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


def test_the_settings_of_the_readme_are_those_of_their_page() -> None:
    shown = re.findall(r"^\| `[A-Z_]+` \|.*", (DOCS.parent / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) == 18
    assert set(shown) <= set(settings_page().splitlines())


def test_every_code_of_an_error_is_on_its_page() -> None:
    codes = {kind.code for kind in _all(errors.SmartFinError) if not _below(kind)}
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", errors_page(), re.MULTILINE)) == codes - {errors.StartError.code}


def test_the_pages_of_the_schema_have_all_of_it() -> None:
    pages = schema_pages(build_schema().core)
    named = {name for text in pages.values() for name in re.findall(r"(?:^## |\| `)(\w+)", text, re.MULTILINE)}
    for kind in build_schema().core.type_map.values():
        if kind.name.startswith("__"):
            continue
        if isinstance(kind, GraphQLObjectType | GraphQLInputObjectType):
            assert set(kind.fields) <= named
        elif isinstance(kind, GraphQLEnumType):
            assert set(kind.values) <= named


def test_everything_in_the_schema_is_described() -> None:
    core = build_schema().core
    bare = [name for name, kind in core.type_map.items() if not kind.description]
    for name, kind in core.type_map.items():
        if isinstance(kind, GraphQLObjectType | GraphQLInputObjectType) and not name.startswith("__"):
            for field_name, field in kind.fields.items():
                parts = {field_name: field, **getattr(field, "args", {})}
                bare += [f"{name}.{field_name} {part}" for part, of in parts.items() if not of.description]
    assert bare == []


def test_every_page_has_its_place_and_every_place_its_page() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    placed = [page for section in nav for pages in section.values() for page in pages]
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert sorted(placed) == sorted(written | {f"schema/{name}.md" for name in SCHEMA_PAGES})


if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
