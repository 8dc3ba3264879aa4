// The one WebSocket that what is read and watched travels on, for whom it speaks, and how it stands.
import { batch, effect, signal } from "@preact/signals";
import { createClient } from "graphql-ws";

import { access, authorization, isKept, refused, type User } from "./account/session";
import { codeOf, type Fault, payload, type Result, type Text } from "./operation";

export type Connection =
  | { state: "connecting" }
  | { state: "live" }
  /** Lost: `until` is when the next attempt begins, on the clock of `now`; what is shown is as old as `since`. */
  | { state: "waiting"; until: number; since: Date | null }
  | { state: "retrying"; since: Date | null }
  /** The server will not have us; only the reader can try again. */
  | { state: "refused"; reason: string };

export const connection = signal<Connection>({ state: "connecting" });

/** For whom the connection speaks, or spoke last; null for a guest, undefined until a kept session is taken up. */
export const viewer = signal<User | null | undefined>(isKept() ? undefined : null);

const ACK_MS = 5_000;
const PING_EVERY_MS = 10_000;
const PONG_MS = 4_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const AGAIN_MS = 2_000;
/** What the server closes with where a token is not good, or not any more. */
const FORBIDDEN = 4403;

const url = new URL("/graphql", location.href);
url.protocol = url.protocol.replace("http", "ws");

let heardAt: Date | null = null;
let pongDue: ReturnType<typeof setTimeout> | undefined;
/** The socket while it is acknowledged. */
let socket: WebSocket | null = null;
/** What it was shown. */
let shown: typeof access.value = null;
/** It was ended for another viewer's sake: the next begins at once, and nothing is amiss. */
let isChanging = false;

const client = createClient({
  url: url.href,
  lazy: false,
  connectionParams: async () => {
    const told = await authorization();
    shown = access.peek();
    return told ? { authorization: told } : undefined;
  },
  connectionAckWaitTimeout: ACK_MS,
  keepAlive: PING_EVERY_MS,
  retryAttempts: Infinity,
  // A server that is down gives an error without a code: that, too, passes.
  shouldRetry: () => true,
  retryWait: waited,
  onNonLazyError: (cause) => (connection.value = { state: "refused", reason: explained(cause) }),
  on: {
    connecting: (again) => {
      if (isChanging) return void (isChanging = false);
      connection.value = again ? { state: "retrying", since: heardAt } : { state: "connecting" };
    },
    connected: (acknowledged) => {
      socket = acknowledged as WebSocket;
      batch(() => {
        if (!viewer.value || viewer.value.id !== shown?.user.id) viewer.value = shown?.user ?? null;
        connection.value = { state: "live" };
      });
      agree();
    },
    message: () => (heardAt = new Date()),
    // A network that went away says nothing: only the missing answer tells.
    ping: (received) => {
      if (!received) pongDue = setTimeout(() => client.terminate(), PONG_MS);
    },
    pong: (received) => {
      if (received) clearTimeout(pongDue);
    },
    closed: (event) => {
      clearTimeout(pongDue);
      socket = null;
      if (shown && (event as CloseEvent).code === FORBIDDEN) refused(shown.token);
    },
  },
});

effect(() => {
  void access.value;
  agree();
});

/** Have the connection speak for who is signed in: a new token of the same user it takes, for another it begins anew. */
function agree(): void {
  const present = access.peek();
  if (!socket || present?.token === shown?.token) return;
  if (present?.user.id === shown?.user.id) {
    shown = present;
    socket.send(JSON.stringify({ type: "ping", payload: { authorization: `Bearer ${present!.token}` } }));
  } else {
    isChanging = true;
    client.terminate();
  }
}

// When the network is back, or the reader is, nobody waits for the next attempt.
let hurry = () => {};
addEventListener("online", () => hurry());
document.addEventListener("visibilitychange", () => document.hidden || hurry());

/** Half a second at first, then twice as long each time, spread so that many pages do not come back as one. */
async function waited(retries: number): Promise<void> {
  if (isChanging) return;
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** retries) * (0.75 + Math.random() / 2);
  connection.value = { state: "waiting", until: performance.now() + wait, since: heardAt };
  await new Promise<void>((done) => {
    hurry = done;
    setTimeout(done, wait);
  });
}

/** The answer to a query or mutation. It waits while the connection is lost; fails if the operation is refused whole,
 *  for another reason than that the budget of the minute is spent. */
export function ask<Data, Variables extends Record<string, unknown>>(
  document: Text<Data, Variables>,
  variables: Variables,
): Promise<Result<Data>> {
  return new Promise((answered, failed) => {
    let result: Result<Data> | undefined;
    client.subscribe<Data>(payload(document, variables), {
      next: ({ data, errors }) => (result = { data: data ?? null, errors: (errors ?? []) as readonly Fault[] }),
      error: (cause) =>
        isLimited(cause) ? answered({ data: null, errors: cause }) : failed(new Error(explained(cause))),
      complete: () => (result ? answered(result) : failed(new Error("The server gave no answer."))),
    });
  });
}

// What passes by itself, if one waits.
const PASSING = new Set([
  "RATE_LIMITED",
  "STORE_UNAVAILABLE",
  "SOURCE_UNAVAILABLE",
  "REQUEST_TIMEOUT",
  "INTERNAL_ERROR",
]);

/** As `ask`, again and again for as long as it is `wanted` and what is wrong may pass; `told` hears what that is. */
export async function askOn<Data, Variables extends Record<string, unknown>>(
  document: Text<Data, Variables>,
  variables: Variables,
  wanted: () => boolean,
  told: (reason: string) => void,
): Promise<Result<Data>> {
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
    const result = await ask(document, variables);
    const passing = result.errors.find((fault) => PASSING.has(codeOf(fault)));
    if (!passing || !wanted()) return result;
    told(passing.message);
    const least = Number(passing.extensions?.retryAfter ?? 0) * 1000;
    await new Promise((resolve) => setTimeout(resolve, Math.max(wait, least)));
  }
}

function isLimited(cause: unknown): cause is readonly Fault[] {
  return Array.isArray(cause) && cause.some((fault: Fault) => codeOf(fault) === "RATE_LIMITED");
}

/** Every result of a subscription, begun anew whenever it or the connection ends; the answer stops it. */
export function watch<Data, Variables extends Record<string, unknown>>(
  document: Text<Data, Variables>,
  variables: Variables,
  next: (result: Result<Data>) => void,
  told: (reason: string) => void,
): () => void {
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop = () => {};
  const again = () => {
    if (!stopped) timer = setTimeout(begin, AGAIN_MS);
  };
  const begin = () => {
    stop = client.subscribe<Data>(payload(document, variables), {
      next: ({ data, errors }) => next({ data: data ?? null, errors: (errors ?? []) as readonly Fault[] }),
      error: (cause) => {
        told(explained(cause));
        again();
      },
      complete: again,
    });
  };
  begin();
  return () => {
    stopped = true;
    clearTimeout(timer);
    stop();
  };
}

function explained(cause: unknown): string {
  if (Array.isArray(cause)) return cause.map((fault: Fault) => fault.message).join(" ");
  if (cause instanceof CloseEvent) return `The server closed the connection: ${cause.code} ${cause.reason}`.trimEnd();
  return cause instanceof Error ? cause.message : String(cause);
}
