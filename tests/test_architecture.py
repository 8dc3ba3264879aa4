"""The rules of the house that code can hold."""

import ast
import re
from pathlib import Path

import errors
import settings
from tests.conftest import ROOT

# Who may import whom. `schema` asks `resolvers`; they reach the stores, the sources, the indicators and the hub;
# ticks go the other way, so `live` reads from `sources` and writes through `db`. `market`, `people`, `errors` and
# `settings` import nothing of ours, and may be imported by all.
ALLOWED = {
    "gateway": {"schema", "resolvers", "indicators", "live", "db"},
    "schema": {"resolvers", "indicators", "sources"},
    "resolvers": {"db", "sources", "indicators", "live"},
    "live": {"db", "sources"},
    "jobs": {"db", "sources", "live"},
    "monitoring": {"gateway", "jobs", "live", "db", "sources"},
    "db": {"sources"},
    "sources": set(),
    "indicators": set(),
    "market": set(),
    "errors": set(),
    "people": set(),
    "logs": set(),
    "tracing": set(),
    "settings": set(),
}
ROOT_MODULES = {"market", "people", "errors", "settings", "logs", "tracing"}
OURS = set(ALLOWED) | {"app", "cli", "opening"}


def modules(room: str) -> list[Path]:
    return [ROOT / f"{room}.py"] if room in ROOT_MODULES else sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found & OURS


def test_a_room_imports_only_what_the_plan_allows() -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(bad)
        for room, allowed in ALLOWED.items()
        for path in modules(room)
        if (bad := imports(path) - allowed - {room} - (ROOT_MODULES if room not in ROOT_MODULES else set()))
    }
    assert wrong == {}


def test_only_one_file_knows_of_embedded_servers() -> None:
    knowing = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob("*/**/*.py")
        if path.parts[len(ROOT.parts)] in ALLOWED and "embedded" in path.read_text(encoding="utf-8")
    }
    assert knowing <= {"db/embedded.py", "db/keeper.py"}


def test_every_error_code_is_in_the_tree_and_once() -> None:
    def leaves(kind: type[errors.SmartFinError]) -> list[type[errors.SmartFinError]]:
        below = kind.__subclasses__()
        return [leaf for sub in below for leaf in leaves(sub)] if below else [kind]

    codes = [kind.code for kind in leaves(errors.SmartFinError)]
    assert len(codes) == len(set(codes))
    drawn = set(re.findall(r"── \w+ +([A-Z_]{2,})\b", errors.__doc__ or ""))
    assert set(codes) == drawn


def test_every_source_is_on_its_page() -> None:
    from sources.catalog import SOURCES

    page = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    for source in SOURCES[settings.Mode.LIVE]:
        assert page.count(f"| `{source.name}` |") == 2, "what it has, and on what terms"
