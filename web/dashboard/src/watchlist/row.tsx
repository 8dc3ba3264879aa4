import { useLayoutEffect, useRef } from "preact/hooks";

import { symbol as charted } from "../chart/choice";
import { now } from "../clock";
import { connection } from "../connection";
import { decimals, duration, percent, price, signed } from "../numbers";
import { announce } from "../announcer";
import { type LiveQuote, quoteOf } from "./quotes";
import { sketches } from "./sketches";
import { Sparkline } from "./sparkline";
import { move, remove, symbols } from "./lists";

/** One symbol: choose it for the chart, move it, remove it. */
export function Row({ symbol, place }: { symbol: string; place: number }) {
  const { quote, fault } = quoteOf(symbol).value;
  const sketch = sketches.value.get(symbol);
  const live = connection.value.state === "live";
  return (
    <li
      class={`row ${live ? "" : "old"}`}
      draggable
      onDragStart={(event) => event.dataTransfer!.setData("text/plain", symbol)}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        const moved = event.dataTransfer!.getData("text/plain");
        if (symbols.value.includes(moved)) move(moved, place);
      }}
    >
      <button
        type="button"
        class="choose"
        aria-current={charted.value === symbol}
        aria-keyshortcuts="Alt+ArrowUp Alt+ArrowDown Delete"
        onClick={() => (charted.value = symbol)}
        onKeyDown={(event) => onKey(event, symbol, place)}
      >
        <span class="symbol">{symbol}</span>
        <Sparkline closes={sketch?.closes ?? []} price={quote?.price} />
        <Price quote={quote} />
        <span class="name">{sketch?.name ?? " "}</span>
        <span class={`change ${direction(quote)}`}>
          {quote?.change != null && signed(quote.change, decimals(quote.price))} {percent(quote?.changePercent)}
        </span>
        {fault ? (
          <span class="why fault" title={fault}>
            {fault}
          </span>
        ) : (
          <Origin quote={quote} />
        )}
      </button>
      <button type="button" class="remove" aria-label={`Remove ${symbol}`} onClick={() => drop(symbol, place)}>
        ×
      </button>
    </li>
  );
}

/** The price, which lights up for a moment as it changes. */
function Price({ quote }: { quote: LiveQuote | undefined }) {
  const element = useRef<HTMLSpanElement>(null);
  const before = useRef<number | undefined>(undefined);
  useLayoutEffect(() => {
    if (before.current !== undefined && quote && quote.price !== before.current) {
      element.current!.animate(
        { backgroundColor: [`var(--${quote.price > before.current ? "up" : "down"}-flash)`, "transparent"] },
        { duration: 600, easing: "ease-out" },
      );
    }
    before.current = quote?.price;
  }, [quote]);
  return (
    <span class="price" ref={element}>
      {price(quote?.price)}
    </span>
  );
}

/** Who said so, how long ago, and what to beware of. */
function Origin({ quote }: { quote: LiveQuote | undefined }) {
  if (!quote) return <span class="origin" />;
  const { source, ageSeconds, servedFrom, synthetic, flags } = quote.provenance;
  const age = ageSeconds + (now.value - quote.heardAt) / 1000;
  return (
    <span class="origin" title={flags.join(", ")}>
      {source} · {duration(age)}
      {servedFrom === "STALE" && <span class="badge warning">stale</span>}
      {synthetic && <span class="badge">synthetic</span>}
    </span>
  );
}

function direction(quote: LiveQuote | undefined): string {
  if (!quote?.change) return "";
  return quote.change < 0 ? "down" : "up";
}

function onKey(event: KeyboardEvent, symbol: string, place: number): void {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (step && event.altKey) {
    const there = Math.min(Math.max(place + step, 0), symbols.value.length - 1);
    move(symbol, there);
    announce(`${symbol} is now ${there + 1} of ${symbols.value.length}`);
  } else if (step) {
    focusRow(place + step);
  } else if (event.key === "Delete") {
    drop(symbol, place);
  } else {
    return;
  }
  event.preventDefault();
}

function drop(symbol: string, place: number): void {
  remove(symbol);
  announce(`${symbol} removed`);
  // Once it is gone, the row that took its place, or the last one, has the focus.
  requestAnimationFrame(() => focusRow(Math.min(place, symbols.value.length - 1)));
}

function focusRow(place: number): void {
  document.querySelectorAll<HTMLElement>(".row > .choose")[place]?.focus();
}
