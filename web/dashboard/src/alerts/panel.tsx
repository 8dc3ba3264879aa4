import { invite } from "../account/account";
import { user } from "../account/session";
import { symbol as charted } from "../chart/choice";
import { moment } from "../numbers";
import {
  type Alert,
  type AlertEvent,
  alerts,
  alertsFault,
  attempt,
  events,
  flashing,
  forget,
  termsOf,
  update,
} from "./alerts";
import { draft, newAlert } from "./form";
import { fate, METHODS, sentence, standing } from "./words";

/** The alerts of who is signed in, and what became of them. */
export function Alerts() {
  return (
    <section class="panel alerts" aria-labelledby="alerts">
      <header>
        <h2 id="alerts">Alerts</h2>
        {alerts.value && (
          <button type="button" onClick={newAlert}>
            New…
          </button>
        )}
      </header>
      {alertsFault.value && (
        <p class="fault" role="alert">
          {alertsFault}
        </p>
      )}
      {!user.value && <Guest />}
      {alerts.value?.length === 0 && (
        <p class="hint">Nothing is waited for. Drag a line on the chart with its button “+ Alert”.</p>
      )}
      <ul>
        {alerts.value?.map((alert) => (
          <Item key={alert.id} alert={alert} />
        ))}
      </ul>
      {events.value.length > 0 && (
        <>
          <h3>What happened</h3>
          <ol class="events">
            {events.value.map((event) => (
              <Event key={event.id} event={event} />
            ))}
          </ol>
        </>
      )}
    </section>
  );
}

function Guest() {
  return (
    <p class="hint">
      Be told when a price gets where you wait for it.{" "}
      <button type="button" onClick={() => invite(WHY)}>
        Sign in
      </button>
    </p>
  );
}

/** Why a guest is asked to sign in. */
export const WHY = "Alerts belong to an account: they are watched while no page is open, too.";

function Item({ alert }: { alert: Alert }) {
  const { id, symbol, isActive, notificationMethods } = alert;
  const name = `${symbol} ${sentence(alert)}`;
  return (
    <li class={`alert ${isActive ? "" : "idle"} ${flashing.value.has(id) ? "flashing" : ""}`}>
      <button type="button" class="choose" onClick={() => (charted.value = symbol)}>
        <b>{symbol}</b> {sentence(alert)}
        <span class="origin">
          {standing(alert)} · {notificationMethods.map((method) => METHODS[method]).join(", ")}
        </span>
      </button>
      <span class="does">
        <button
          type="button"
          aria-label={`${isActive ? "Pause" : "Resume"} ${name}`}
          onClick={() => void attempt(update(id, { ...termsOf(alert), isActive: !isActive }))}
        >
          {isActive ? "Pause" : "Resume"}
        </button>
        <button
          type="button"
          aria-label={`Change ${name}`}
          onClick={() => (draft.value = { id, terms: termsOf(alert) })}
        >
          Change
        </button>
        <button type="button" class="remove" aria-label={`Delete ${name}`} onClick={() => void attempt(forget(id))}>
          ×
        </button>
      </span>
    </li>
  );
}

function Event({ event: { firedAt, message, deliveries } }: { event: AlertEvent }) {
  return (
    <li>
      <time class="origin" dateTime={firedAt}>
        {moment(firedAt)}
      </time>{" "}
      {message}
      {deliveries.map((delivery) => (
        <span key={delivery.id} class={`badge ${delivery.status === "FAILED" ? "warning" : ""}`}>
          {fate(delivery)}
        </span>
      ))}
    </li>
  );
}
