// The alerts of who is signed in, and what they did: read, told as it happens, and changed.
import { batch, effect, signal } from "@preact/signals";

import { announce } from "../announcer";
import { change } from "../account/session";
import { askOn, connection, viewer, watch } from "../connection";
import { graphql } from "../graphql";
import type { AlertInput, AlertsQuery } from "../graphql/graphql";

graphql(`
  fragment Terms on Alert {
    id
    symbol
    metric
    operator
    threshold
    period
    interval
    cooldownSeconds
    notificationMethods
    webhookUrl
    phone
    isActive
    lastFiredAt
  }
`);

graphql(`
  fragment Happened on AlertEvent {
    id
    message
    firedAt
    alert {
      ...Terms
    }
    deliveries {
      id
      method
      status
      attempts
      lastError
    }
  }
`);

const ALERTS = graphql(`
  query Alerts($events: Int!) {
    alerts {
      ...Terms
    }
    alertEvents(first: $events) {
      edges {
        node {
          ...Happened
        }
      }
    }
  }
`);

const ALERTS_FIRE = graphql(`
  subscription AlertsFire {
    alerts {
      ...Happened
    }
  }
`);

const CREATE_ALERT = graphql(`
  mutation CreateAlert($input: AlertInput!) {
    alert: createAlert(input: $input) {
      ...Terms
    }
  }
`);

const UPDATE_ALERT = graphql(`
  mutation UpdateAlert($id: ID!, $input: AlertInput!) {
    alert: updateAlert(id: $id, input: $input) {
      ...Terms
    }
  }
`);

const DELETE_ALERT = graphql(`
  mutation DeleteAlert($id: ID!) {
    deleteAlert(id: $id)
  }
`);

export type Alert = AlertsQuery["alerts"][number];
export type AlertEvent = AlertsQuery["alertEvents"]["edges"][number]["node"];
export type { AlertInput };

const EVENTS = 20;
const MOST_TOASTS = 3;
const FLASH_MS = 6_000;
const DELIVERY_MS = 3_000;

/** The newest first; null for a guest, and until the server has told. */
export const alerts = signal<readonly Alert[] | null>(null);

/** What happened last, the newest first. */
export const events = signal<readonly AlertEvent[]>([]);

/** What fired while this page was open, until the reader has taken note of it. */
export const toasts = signal<readonly AlertEvent[]>([]);

/** The ids of alerts that fired a moment ago. */
export const flashing = signal<ReadonlySet<string>>(new Set());

/** Why the alerts are not told, or not as they are. */
export const alertsFault = signal<string | null>(null);

/** What an alert asks for, to be changed in parts. */
export function termsOf({ id: _, lastFiredAt: __, ...terms }: Alert): AlertInput {
  return terms;
}

/** A new alert of these terms. Fails with what the server says against them. */
export async function create(input: AlertInput): Promise<void> {
  const { data, errors } = await change(CREATE_ALERT, { input });
  if (!data) throw new Error(errors[0]?.message);
  put(data.alert);
}

/** The alert has these terms from now on, and is armed anew. Fails with what the server says against them. */
export async function update(id: string, input: AlertInput): Promise<void> {
  const { data, errors } = await change(UPDATE_ALERT, { id, input });
  if (!data) throw new Error(errors[0]?.message);
  put(data.alert);
}

/** Forget the alert, with its events. */
export async function forget(id: string): Promise<void> {
  const { data, errors } = await change(DELETE_ALERT, { id });
  if (!data) throw new Error(errors[0]?.message);
  batch(() => {
    alerts.value = (alerts.value ?? []).filter((alert) => alert.id !== id);
    events.value = events.value.filter(({ alert }) => alert?.id !== id);
  });
}

/** Whether it was done; what went wrong is told where the alerts are shown, and read out. */
export async function attempt(done: Promise<void>): Promise<boolean> {
  alertsFault.value = null;
  try {
    await done;
    return true;
  } catch (cause) {
    alertsFault.value = (cause as Error).message;
    return false;
  }
}

export function takeNote(event: AlertEvent): void {
  toasts.value = toasts.value.filter(({ id }) => id !== event.id);
}

function put(alert: Alert): void {
  const others = alerts.value ?? [];
  const place = others.findIndex(({ id }) => id === alert.id);
  alerts.value = place < 0 ? [alert, ...others] : others.with(place, alert);
}

async function read(): Promise<void> {
  const of = viewer.peek();
  const isWanted = () => viewer.peek() === of;
  const fail = (reason: string) => (alertsFault.value = reason);
  try {
    const { data, errors } = await askOn(ALERTS, { events: EVENTS }, isWanted, fail);
    if (!isWanted()) return;
    if (!data) return void fail(errors[0]?.message ?? "The server named no alerts.");
    batch(() => {
      const isFirst = alerts.value === null;
      const known = new Set(events.value.map(({ id }) => id));
      const found = data.alertEvents.edges.map(({ node }) => node);
      alerts.value = data.alerts;
      alertsFault.value = null;
      // What came while the connection was away is told as if it came now.
      if (!isFirst) for (const event of found.toReversed()) if (!known.has(event.id)) show(event);
      events.value = found;
    });
  } catch (cause) {
    if (isWanted()) fail((cause as Error).message);
  }
}

function fire(event: AlertEvent): void {
  if (events.value.some(({ id }) => id === event.id)) return;
  batch(() => {
    events.value = [event, ...events.value].slice(0, EVENTS);
    if (event.alert) put(event.alert);
    show(event);
  });
}

function show(event: AlertEvent): void {
  toasts.value = [event, ...toasts.value].slice(0, MOST_TOASTS);
  announce(event.message);
  const id = event.alert?.id;
  if (!id) return;
  flashing.value = new Set([...flashing.value, id]);
  setTimeout(() => (flashing.value = new Set([...flashing.value].filter((other) => other !== id))), FLASH_MS);
}

effect(() => {
  const isSignedIn = !!viewer.value;
  batch(() => {
    alerts.value = null;
    events.value = [];
    toasts.value = [];
    alertsFault.value = null;
  });
  if (!isSignedIn) return;
  return watch(
    ALERTS_FIRE,
    {},
    ({ data, errors }) => (data ? fire(data.alerts) : (alertsFault.value = errors[0]?.message ?? null)),
    (reason) => (alertsFault.value = reason),
  );
});

connection.subscribe(({ state }) => state === "live" && viewer.peek() && void read());

// A message that waits for its delivery has its fate a moment later, or after hours.
effect(() => {
  const isPending = events.value.some(({ deliveries }) => deliveries.some(({ status }) => status === "PENDING"));
  if (!isPending) return;
  const timer = setTimeout(() => document.hidden || void read(), DELIVERY_MS);
  return () => clearTimeout(timer);
});
