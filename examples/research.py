# %% [markdown]
# # A year of prices as a Polars frame
# Run it cell by cell in an editor that knows `# %%`, or as a whole: `.venv/bin/python examples/research.py`

# %%
import os

import polars as pl
from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport

url = os.environ.get("SMARTFIN_URL", "http://127.0.0.1:8000/graphql")
client = Client(transport=AIOHTTPTransport(url))

# %% [markdown]
# Columns come as they are needed: one list for each, of equal length. The indicators' warm-up lies before the window.

# %%
asked = gql("""
query ($symbol: Symbol!) {
  history(symbol: $symbol, interval: D1, from: "2024-01-01", to: "2025-01-01", adjustment: ALL) {
    columns { epoch close volume }
    indicators { sma(period: 50) rsi }
  }
}
""")
history = client.execute(asked, variable_values={"symbol": "AAPL"})["history"]
bars = pl.DataFrame({**history["columns"], **history["indicators"]}).with_columns(
    pl.from_epoch("epoch").dt.date().alias("day")
)
print(bars.tail())

# %% [markdown]
# What did the months give, and how often was the price above its average of 50 days?

# %%
months = (
    bars.group_by_dynamic("day", every="1mo")
    .agg(
        change_percent=(pl.col("close").last() / pl.col("close").first() - 1) * 100,
        days_above_average=(pl.col("close") > pl.col("sma")).sum(),
    )
    .with_columns(pl.col("change_percent").round(2))
)
print(months)
