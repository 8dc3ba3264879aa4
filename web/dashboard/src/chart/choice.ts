// What the reader chose to see: a symbol, the length of a bar, and indicators.
import type { Interval } from "../graphql/graphql";
import { remembered } from "../remembered";

export const INTERVALS: Record<Interval, string> = {
  M1: "1m",
  M5: "5m",
  M15: "15m",
  M30: "30m",
  H1: "1h",
  H4: "4h",
  D1: "1D",
  W1: "1W",
  MN1: "1M",
};

/** Whether bars of the interval begin at an hour, rather than on a day. */
export const isWithinDay = (wanted: Interval) => !["D1", "W1", "MN1"].includes(wanted);

/** An indicator with its arguments, as GraphQL writes them: `period` is "20", `of` is "CLOSE". */
export type Chosen = { name: string; arguments: Readonly<Record<string, string>> };

/** As many as are told apart, and as fit below each other. */
export const MOST_INDICATORS = 12;

const FIRST_VISIT: readonly Chosen[] = [
  { name: "ema", arguments: { period: "20", of: "CLOSE" } },
  { name: "rsi", arguments: { period: "14", of: "CLOSE" } },
];

export const symbol = remembered("symbol", "AAPL", (kept) => typeof kept === "string");
export const interval = remembered<Interval>("interval", "M1", (kept): kept is Interval => String(kept) in INTERVALS);
export const chosen = remembered("indicators", FIRST_VISIT, areChosen);

export function addIndicator(indicator: Chosen): void {
  chosen.value = [...chosen.value, indicator];
}

export function changeIndicator(place: number, indicator: Chosen): void {
  chosen.value = chosen.value.with(place, indicator);
}

export function removeIndicator(place: number): void {
  chosen.value = chosen.value.toSpliced(place, 1);
}

// They become a part of a document: only what can stand there is taken.
function areChosen(kept: unknown): kept is readonly Chosen[] {
  return Array.isArray(kept) && kept.length <= MOST_INDICATORS && kept.every(isChosen);
}

function isChosen(kept: Chosen): boolean {
  const words = [kept.name, ...Object.keys(kept.arguments ?? {})];
  return words.every(isName) && Object.values(kept.arguments ?? {}).every(isArgument);
}

export function isArgument(text: unknown): boolean {
  return /^(-?\d+(\.\d+)?|[A-Za-z]\w*)$/.test(String(text));
}

function isName(text: unknown): boolean {
  return /^[A-Za-z]\w*$/.test(String(text));
}
