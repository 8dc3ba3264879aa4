import { effect, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { announce } from "../announcer";
import { graphiqlLink } from "../graphiql";
import { decimals, price } from "../numbers";
import { repainted } from "../theme";
import { AlertLines } from "./alert-lines";
import { asset } from "./asset";
import { catalogFault } from "./catalog";
import { INTERVALS, interval, isWithinDay, symbol } from "./choice";
import { Drawing } from "./drawing";
import { asked, facts, fault, loading, loadOlder, shown } from "./feed";
import { Header } from "./header";
import { Legend } from "./legend";
import { Picker } from "./picker";
import { plots } from "./plots";
import { hovered, openedAt, place } from "./reading";

export function Chart() {
  const container = useRef<HTMLDivElement>(null);
  const drawing = useSignal<Drawing | null>(null);
  const tops = useSignal<readonly number[]>([]);

  useEffect(() => {
    const made = new Drawing(container.current!, { onStart: loadOlder, onHover: (epoch) => (hovered.value = epoch) });
    drawing.value = made;
    const ends = [follow(made), placeLegends(made, (found) => (tops.value = found))];
    return () => {
      for (const end of ends) end();
      made.remove();
    };
  }, []);

  return (
    <section class="chart" aria-labelledby="charted">
      <Header
        link={asked.value && graphiqlLink(asked.value, { symbol: symbol.value, interval: interval.value, last: 100 })}
      />
      {(fault.value ?? catalogFault.value) && (
        <p class="fault" role="alert">
          {fault.value ?? catalogFault.value}
        </p>
      )}
      <div class="canvas" data-bars={shown.value?.columns.epoch.length ?? 0}>
        <div
          ref={container}
          class="drawing"
          tabIndex={0}
          role="application"
          aria-label={`${INTERVALS[interval.value]} chart of ${symbol.value}; the left and right arrow keys read its bars`}
          onKeyDown={(event) => onKey(event, drawing.peek()!)}
        />
        {drawing.value && <AlertLines drawing={drawing.value} />}
        <Legend tops={tops.value} />
        <Events />
        {loading.value && !shown.value && <p class="hint loading">Loading {symbol}…</p>}
      </div>
      <Picker />
    </section>
  );
}

/** What the marks on the canvas say, for who cannot see them. */
function Events() {
  return (
    <ul class="unseen" aria-label="Splits and dividends">
      {facts.value?.splits.map(({ time, numerator, denominator }) => (
        <li key={`split ${time}`}>{`${time.slice(0, 10)}: split ${numerator} for ${denominator}`}</li>
      ))}
      {facts.value?.dividends.map(({ time, amount, currency }) => (
        <li key={`dividend ${time}`}>{`${time.slice(0, 10)}: dividend ${amount} ${currency ?? ""}`}</li>
      ))}
    </ul>
  );
}

/** Keep the drawing as the bars, the plots and the colours are. */
function follow(drawing: Drawing): () => void {
  let series = "";
  const ends = [
    effect(() => drawing.plot(plots.value)),
    effect(() => {
      if (!shown.value) return drawing.clear();
      const { columns, from } = shown.value;
      const about = facts.peek()!;
      const present = `${symbol.peek()} ${interval.peek()}`;
      if (from > 0) return drawing.move(columns, from);
      if (present !== series)
        drawing.begin(about.timezone, isWithinDay(interval.peek()), decimals(columns.close.at(-1) ?? 1));
      series = present;
      drawing.draw(columns, about);
    }),
    effect(() => {
      void repainted.value;
      drawing.paint();
    }),
  ];
  return () => ends.forEach((end) => end());
}

/** Tell where the panes begin, now and whenever that changes. */
function placeLegends(drawing: Drawing, told: (tops: readonly number[]) => void): () => void {
  return effect(() => {
    void plots.value;
    return drawing.onPanes(() => told(drawing.paneTops()));
  });
}

/** Go through the bars by the keyboard, and have them read out. */
function onKey(event: KeyboardEvent, drawing: Drawing): void {
  const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
  if (!shown.value || place.value === null) return;
  const { columns } = shown.value;
  if (event.key === "Escape") return drawing.hover(columns, null);
  if (!step) return;
  event.preventDefault();
  const there = Math.min(Math.max(place.value + step, 0), columns.epoch.length - 1);
  drawing.hover(columns, there);
  hovered.value = columns.epoch[there]!;
  const { open, high, low, close } = columns;
  const [o, h, l, c] = [open, high, low, close].map((column) => price(column[there]));
  announce(
    `${openedAt(columns.epoch[there]!)}: open ${o}, high ${h}, low ${l}, close ${c} ${asset.value?.currency ?? ""}`,
  );
}
