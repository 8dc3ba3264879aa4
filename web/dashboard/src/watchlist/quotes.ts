// The live quote of every symbol on the page, over one subscription.
import { computed, effect, signal, type Signal } from "@preact/signals";

import { symbol as charted } from "../chart/choice";
import { watch } from "../connection";
import { graphql } from "../graphql";
import type { LiveQuotesSubscription } from "../graphql/graphql";
import { groups } from "./groups";
import { symbols } from "./lists";

const LIVE_QUOTES = graphql(`
  subscription LiveQuotes($symbols: [Symbol!]!) {
    quotes(symbols: $symbols, maxPerSecond: 4) {
      symbol
      price
      change
      changePercent
      currency
      time
      provenance {
        source
        servedFrom
        ageSeconds
        delaySeconds
        quality
        flags
        synthetic
      }
    }
  }
`);

/** Symbols that one subscription may name. */
const AT_ONCE = 100;

/** `heardAt` is when the page got it, on the clock of `now`; its age grows from there. */
export type LiveQuote = LiveQuotesSubscription["quotes"] & { heardAt: number };

/** A quote, or why there is none. */
export type Told = { quote?: LiveQuote; fault?: string };

const told = new Map<string, Signal<Told>>();

/** What was told last of the symbol; empty until something is. */
export function quoteOf(symbol: string): Signal<Told> {
  let found = told.get(symbol);
  if (!found) told.set(symbol, (found = signal({})));
  return found;
}

/** Why no quotes come at all, if they do not. */
export const quotesFault = signal<string | null>(null);

// In one order whatever the reader's: to move a symbol is no reason to ask anew.
const watched = computed(() => [...new Set([...symbols.value, charted.value])].sort().join(" "));

effect(() => {
  const wanted = watched.value.split(" ");
  for (const symbol of told.keys()) if (!wanted.includes(symbol)) told.delete(symbol);
  quotesFault.value = null;
  const stops = groups(wanted, AT_ONCE).map(watchQuotes);
  return () => stops.forEach((stop) => stop());
});

function watchQuotes(wanted: readonly string[]): () => void {
  return watch(
    LIVE_QUOTES,
    { symbols: [...wanted] },
    ({ data, errors }) => {
      if (data) quoteOf(data.quotes.symbol).value = { quote: { ...data.quotes, heardAt: performance.now() } };
      for (const { message, extensions } of errors) {
        const symbol = extensions?.symbol;
        if (typeof symbol === "string" && wanted.includes(symbol)) quoteOf(symbol).value = { fault: message };
        else quotesFault.value = message;
      }
    },
    (reason) => (quotesFault.value = reason),
  );
}
