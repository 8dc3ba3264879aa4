// Alerts about the price of what is charted, as lines that are dragged to where they are to be.
import { computed, effect, signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { invite } from "../account/account";
import { user } from "../account/session";
import { type Alert, type AlertInput, alerts, attempt, create, flashing, termsOf, update } from "../alerts/alerts";
import { WHY } from "../alerts/panel";
import { OPERATORS } from "../alerts/words";
import { announce } from "../announcer";
import { decimals, price as shownPrice } from "../numbers";
import { repainted } from "../theme";
import { symbol } from "./choice";
import type { Drawing } from "./drawing";
import { shown } from "./feed";

/** Whether a line is being placed that becomes an alert where it is let go. */
const isPlacing = signal(false);

/** Put a line on the chart that the reader drags; a guest is asked to sign in. */
export function placeAlert(): void {
  if (!user.value) return invite(WHY);
  isPlacing.value = true;
  announce("A line for an alert. The arrow keys move it, Enter makes the alert, Escape takes it away.");
}

const last = computed(() => shown.value?.columns.close.at(-1) ?? null);

// One that fired stays for a moment, so that it is seen which it was.
const drawn = computed(() =>
  (alerts.value ?? []).filter(
    (alert) =>
      alert.symbol === symbol.value && alert.metric === "PRICE" && (alert.isActive || flashing.value.has(alert.id)),
  ),
);

export function AlertLines({ drawing }: { drawing: Drawing }) {
  if (last.value === null) return null;
  return (
    <>
      {drawn.value.map((alert) => (
        <Line
          key={alert.id}
          drawing={drawing}
          price={alert.threshold}
          label={OPERATORS[alert.operator]}
          isFlashing={flashing.value.has(alert.id)}
          onDone={(threshold) => attempt(update(alert.id, moved(alert, threshold)))}
        />
      ))}
      {isPlacing.value && <Placing drawing={drawing} />}
    </>
  );
}

/** The line of an alert that is not made yet. */
function Placing({ drawing }: { drawing: Drawing }) {
  const from = useRef(drawing.priceBeside(last.peek()!));
  const make = (threshold: number) => {
    isPlacing.value = false;
    const operator = crossing(threshold);
    announce(`An alert when ${symbol} ${OPERATORS[operator]} ${threshold}`);
    return attempt(create({ symbol: symbol.value, metric: "PRICE", operator, threshold }));
  };
  return (
    <>
      <p class="placing">Drag the line to the price that you wait for</p>
      <Line
        drawing={drawing}
        price={from.current}
        label="new alert"
        isNew
        onDone={make}
        onCancel={() => (isPlacing.value = false)}
      />
    </>
  );
}

effect(() => {
  void symbol.value;
  isPlacing.value = false;
});

const crossing = (threshold: number) => (threshold > (last.peek() ?? 0) ? "CROSSES_ABOVE" : "CROSSES_BELOW");

/** The alert with another threshold: what waits for a crossing waits for it from where the price is. */
function moved(alert: Alert, threshold: number): AlertInput {
  const operator = alert.operator.startsWith("CROSSES") ? crossing(threshold) : alert.operator;
  return { ...termsOf(alert), threshold, operator };
}

type LineProps = {
  drawing: Drawing;
  price: number;
  label: string;
  isNew?: boolean;
  isFlashing?: boolean;
  /** The reader has let it go; false where it could not be left there. */
  onDone: (price: number) => Promise<boolean>;
  onCancel?: () => void;
};

/** A line across the bars, and on it a handle, which moves it by pointer and by keyboard. */
function Line({ drawing, price, label, isNew, isFlashing, onDone, onCancel }: LineProps) {
  const handle = useRef<HTMLDivElement>(null);
  /** Where it is while the reader moves it, and until that is kept. */
  const at = useSignal(price);
  const digits = decimals(price);

  useEffect(() => void (at.value = price), [price]);

  useLayoutEffect(() => {
    const element = handle.current!;
    const line = drawing.addLine();
    const place = () => {
      const y = drawing.yOf(at.peek());
      element.hidden = y === null;
      element.style.top = `${y}px`;
      element.style.right = `${drawing.axisWidth()}px`;
    };
    const ends = [
      line.remove,
      drawing.onPaint(place),
      effect(() => {
        void repainted.value;
        line.put(at.value);
        place();
      }),
    ];
    if (isNew) element.focus();
    return () => ends.forEach((end) => end());
  }, []);

  const rounded = (value: number) => Number(value.toFixed(digits));
  const done = async () => {
    if (!isNew && at.peek() === price) return;
    if (!(await onDone(rounded(at.peek())))) at.value = price;
  };
  const put = (y: number) => {
    const wanted = drawing.priceAt(y);
    if (wanted !== null) at.value = rounded(wanted);
  };
  const onMove = ({ pointerId, clientY }: PointerEvent) => {
    const element = handle.current!;
    if (element.hasPointerCapture(pointerId)) put(clientY - element.parentElement!.getBoundingClientRect().top);
  };
  const onKey = (event: KeyboardEvent) => {
    const up = { ArrowUp: 3, ArrowDown: -3, PageUp: 30, PageDown: -30 }[event.key];
    if (up) put((drawing.yOf(at.peek()) ?? 0) - up);
    else if (event.key === "Enter") void done();
    else if (event.key === "Escape") {
      at.value = price;
      onCancel?.();
    } else return;
    event.preventDefault();
  };

  return (
    <div
      ref={handle}
      class={`alert-line ${isNew ? "new" : ""} ${isFlashing ? "flashing" : ""}`}
      role="slider"
      tabIndex={0}
      aria-orientation="vertical"
      aria-label={isNew ? "Threshold of a new alert" : `Alert when ${symbol} ${label}`}
      aria-valuemin={0}
      aria-valuenow={at.value}
      aria-valuetext={shownPrice(at.value, digits)}
      onPointerDown={(event) => {
        handle.current!.setPointerCapture(event.pointerId);
      }}
      onPointerMove={onMove}
      // A click alone moves nothing, and so makes nothing.
      onPointerUp={() => at.peek() !== price && void done()}
      onPointerCancel={() => (at.value = price)}
      onKeyDown={onKey}
      onBlur={() => isNew || (at.value = price)}
    >
      <span>
        {label} {shownPrice(at.value, digits)} <span aria-hidden="true">⇅</span>
      </span>
    </div>
  );
}
