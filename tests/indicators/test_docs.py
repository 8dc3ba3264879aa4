"""docs/indicators.md is what the catalogue says. Written anew by: python -m tests.indicators.test_docs"""

import importlib

from indicators.catalog import CATALOG
from indicators.indicator import Indicator
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "indicators.md"
PUBLISHED = {
    "bollingerBands": "StockCharts' spreadsheet",
    "ema": "StockCharts' spreadsheet",
    "macd": "investexcel.net's spreadsheet",
    "rsi": "StockCharts' spreadsheet",
    "sma": "StockCharts' spreadsheet",
}
"""Whose worked examples test_definitions.py checks beside the loops."""


HEAD = """# Indicators

Made from the catalogue by the tests; `indicatorCatalog` and GraphiQL have the full texts. *Warm-up* is how many leading
bars have no value with the defaults, on daily bars; *settles in* how many bars in front of a window are fetched and cut
off, so that the value at a bar is the same to a millionth whatever window is asked for. Each is compared, to a
billionth, with a plain loop from its definition in `tests/indicators/references/`, on daily bars of AAPL. NaN and
infinity never leave; no value looks ahead."""
ROW = "| field | formula from | arguments | warm-up | settles in | null | reference |"


def row(indicator: Indicator) -> str:
    arguments = ", ".join(f"{a.name} = {a.default}" for a in indicator.arguments) or "none"
    text = " ".join(indicator.text.split())
    nulls = [sentence for sentence in text.replace(". ", ".|").split("|") if "null" in sentence.lower()]
    rules = " ".join([*nulls, *indicator.null_rules]) or "never null"
    loop = f"loop `{indicator.group}.{indicator.function.__name__}`"
    reference = f"{loop}, {PUBLISHED[indicator.name]}" if indicator.name in PUBLISHED else loop
    call = indicator.call()
    cells = (f"`{indicator.name}`", indicator.source, arguments, call.warm_up, call.settle, rules, reference)
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def page() -> str:
    lines = [HEAD]
    for group in dict.fromkeys(indicator.group for indicator in sorted(CATALOG.values(), key=lambda i: i.group)):
        doc = importlib.import_module(f"indicators.{group}").__doc__ or ""
        lines += ["", f"## {group.capitalize()}", "", doc.strip(), ""]
        lines += [ROW, "|---|---|---|---|---|---|---|"]
        lines += [row(indicator) for indicator in CATALOG.values() if indicator.group == group]
    return "\n".join(lines) + "\n"


def test_the_page_of_indicators_is_in_step_with_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
