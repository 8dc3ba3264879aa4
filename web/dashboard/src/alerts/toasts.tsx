import { symbol as charted } from "../chart/choice";
import { moment } from "../numbers";
import { type AlertEvent, takeNote, toasts } from "./alerts";

/** What fired a moment ago, over everything else, until the reader takes note of it. The announcer reads it out. */
export function Toasts() {
  return (
    <section class="toasts" aria-label="Alerts that fired" hidden={toasts.value.length === 0}>
      {toasts.value.map((event) => (
        <Toast key={event.id} event={event} />
      ))}
    </section>
  );
}

function Toast({ event }: { event: AlertEvent }) {
  const symbol = event.alert?.symbol;
  return (
    <div class="toast">
      <p>
        <b>{event.message}</b> <span class="origin">{moment(event.firedAt)}</span>
      </p>
      {symbol && symbol !== charted.value && (
        <button type="button" onClick={() => (charted.value = symbol)}>
          Chart {symbol}
        </button>
      )}
      <button type="button" class="remove" aria-label={`Dismiss: ${event.message}`} onClick={() => takeNote(event)}>
        ×
      </button>
    </div>
  );
}
