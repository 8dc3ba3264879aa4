// Which symbols the reader watches, in the reader's order.
import { remembered } from "../remembered";

/** What one subscription and one question can carry with ease. */
export const MOST = 50;

const FIRST_VISIT = ["AAPL", "MSFT", "NVDA", "TSLA", "SPY", "EURUSD=X", "BTC-USD", "ETH-USD"];

export const symbols = remembered<readonly string[]>("watchlist", FIRST_VISIT, areSymbols);

export function add(symbol: string): void {
  if (!symbols.value.includes(symbol) && symbols.value.length < MOST) symbols.value = [...symbols.value, symbol];
}

export function remove(symbol: string): void {
  symbols.value = symbols.value.filter((other) => other !== symbol);
}

/** Puts the symbol at the place, counted from 0, or as near as there is one. */
export function move(symbol: string, place: number): void {
  const others = symbols.value.filter((other) => other !== symbol);
  symbols.value = others.toSpliced(Math.max(0, place), 0, symbol);
}

function areSymbols(kept: unknown): kept is readonly string[] {
  return (
    Array.isArray(kept) && kept.length <= MOST && kept.every((symbol) => typeof symbol === "string" && symbol !== "")
  );
}
