// What a row of the watchlist shows beside the quote: a name, and the way the price came in the last hours.
import { effect, signal } from "@preact/signals";

import { ask, connection } from "../connection";
import { graphql } from "../graphql";
import { symbols } from "./symbols";

const SKETCHES = graphql(`
  query Sketches($symbols: [Symbol!]!) {
    quotes(symbols: $symbols) {
      symbol
      asset {
        name
        history(interval: M15, last: 40) {
          columns {
            close
          }
        }
      }
    }
  }
`);

export type Sketch = { name: string; closes: readonly number[] };

export const sketches = signal<ReadonlyMap<string, Sketch>>(new Map());

const EVERY_MS = 15 * 60_000;

async function draw(wanted: readonly string[]): Promise<void> {
  if (wanted.length === 0) return;
  // A row lives without its sketch, and what is wrong with a symbol its quote says: nothing is told twice.
  const { data } = await ask(SKETCHES, { symbols: [...wanted] }).catch(() => ({ data: null }));
  const drawn = new Map(sketches.value);
  for (const quote of data?.quotes ?? []) {
    if (quote) drawn.set(quote.symbol, { name: quote.asset.name, closes: quote.asset.history?.columns.close ?? [] });
  }
  sketches.value = drawn;
}

const asked = new Set<string>();

effect(() => {
  const missing = symbols.value.filter((symbol) => !asked.has(symbol));
  for (const symbol of missing) asked.add(symbol);
  void draw(missing);
});

// Those of before an outage, or of a quarter of an hour ago, lack what came since.
connection.subscribe(({ state }) => state === "live" && void draw([...asked]));
setInterval(() => void draw(symbols.value), EVERY_MS);
