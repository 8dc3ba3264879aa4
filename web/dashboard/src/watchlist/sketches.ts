// What a row of the watchlist shows beside the quote: a name, and the way the price came in the last hours.
import { effect, signal } from "@preact/signals";

import { ask, connection } from "../connection";
import { graphql } from "../graphql";
import { groups } from "./groups";
import { symbols } from "./lists";

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
const LACKING_EVERY_MS = 30_000;

/** Symbols whose sketches one question can pay for. */
const AT_ONCE = 50;

const draw = (wanted: readonly string[]) => groups(wanted, AT_ONCE).forEach((part) => void drawPart(part));

async function drawPart(wanted: readonly string[]): Promise<void> {
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
  draw(missing);
});

// Those of before an outage, or of a quarter of an hour ago, lack what came since.
connection.subscribe(({ state }) => state === "live" && draw(symbols.peek()));
setInterval(() => draw(symbols.value), EVERY_MS);
setInterval(() => draw(symbols.value.filter((symbol) => !sketches.value.has(symbol))), LACKING_EVERY_MS);
