// Who is signed in. The access token is in memory alone; the refresh token is kept for all tabs of this browser.
//
// It is kept where scripts can read it, as no other script than ours runs here (the Content-Security-Policy sees to that),
// rather than in a cookie, which would have every request that a foreign page provokes speak for the user. It is good
// once: tabs take turns, and whoever has a new session shares it with the others.
import { computed, signal } from "@preact/signals";

import { graphql } from "../graphql";
import type { SignInMutation } from "../graphql/graphql";
import { post, type Posted } from "../http";
import { codeOf, type Fault, type Result, type Text } from "../operation";

graphql(`
  fragment Begun on Session {
    accessToken
    expiresAt
    refreshToken
    user {
      id
      email
      tier
    }
  }
`);

const SIGN_IN = graphql(`
  mutation SignIn($email: String!, $password: String!) {
    session: signIn(email: $email, password: $password) {
      ...Begun
    }
  }
`);

const SIGN_UP = graphql(`
  mutation SignUp($email: String!, $password: String!) {
    session: signUp(email: $email, password: $password) {
      ...Begun
    }
  }
`);

const REFRESH_SESSION = graphql(`
  mutation RefreshSession($refreshToken: String!) {
    session: refreshSession(refreshToken: $refreshToken) {
      ...Begun
    }
  }
`);

const SIGN_OUT = graphql(`
  mutation SignOut($refreshToken: String!) {
    signOut(refreshToken: $refreshToken)
  }
`);

type Session = SignInMutation["session"];
type Credentials = { email: string; password: string };
export type User = Session["user"];

/** What is shown to the server; `endsAt` on the clock of `performance.now`. */
type Access = { token: string; user: User; endsAt: number };

export const access = signal<Access | null>(null);

/** Null for a guest. */
export const user = computed(() => access.value?.user ?? null);

/** Why a session ended that nobody here ended. */
export const ended = signal<string | null>(null);

const KEY = "smartfin:session";
/** A token is renewed so long before its end, or up to twice that; a short one when a quarter to half of its life is left. */
const AHEAD_MS = 60_000;
const AGAIN_MS = 5_000;

/** A session as the tabs tell it each other; null: it is over. */
type Shared = { token: string; user: User; lifeMs: number } | null;
const tabs = new BroadcastChannel(KEY);
tabs.onmessage = ({ data }: MessageEvent<Shared>) => (data ? hold(data) : leave());

let timer: ReturnType<typeof setTimeout> | undefined;
let renewing: Promise<void> | undefined;

/** `Bearer …`, good for a while yet; null for a guest. Fails where the server cannot be asked for a new one. */
export async function authorization(): Promise<string | null> {
  if (!kept()) return null;
  if (!access.value || performance.now() >= access.value.endsAt) await renew();
  return access.value && `Bearer ${access.value.token}`;
}

/** The server takes this token no more, whatever the clock says. */
export function refused(token: string): void {
  if (access.value?.token === token) access.value = { ...access.value, endsAt: 0 };
}

export const signIn = (email: string, password: string) => begin(SIGN_IN, { email, password });
export const signUp = (email: string, password: string) => begin(SIGN_UP, { email, password });

/** Ends the session, here at once; fails where the server cannot be told. */
export async function signOut(): Promise<void> {
  const refreshToken = kept();
  forget();
  if (refreshToken) await post(SIGN_OUT, { refreshToken });
}

/** The result of a mutation for whoever is signed in; asked once more where the token turns out to have ended. */
export async function change<Data, Variables extends Record<string, unknown>>(
  document: Text<Data, Variables>,
  variables: Variables,
): Promise<Result<Data>> {
  const shown = await authorization();
  const result = await post(document, variables, shown);
  if (!shown || !result.errors.some((fault) => codeOf(fault) === "UNAUTHENTICATED")) return result;
  refused(shown.slice("Bearer ".length));
  return post(document, variables, await authorization());
}

async function begin(document: Text<{ session: Session }, Credentials>, variables: Credentials): Promise<Fault | null> {
  const posted = await post(document, variables);
  if (posted.data) take(posted.data.session, posted.at);
  return posted.errors[0] ?? null;
}

/** A new session for that which is kept: of all tabs one asks, the others get what it got. */
function renew(): Promise<void> {
  const before = access.value;
  return (renewing ??= inTurn(async () => {
    // While it waited for its turn, another tab may have renewed the session, or ended it.
    if (access.value && access.value !== before) return;
    const refreshToken = kept();
    if (!refreshToken) return leave();
    const posted = await post(REFRESH_SESSION, { refreshToken });
    if (posted.data) return take(posted.data.session, posted.at);
    const [fault] = posted.errors;
    if (!fault || codeOf(fault) !== "UNAUTHENTICATED") throw new Error(fault?.message ?? "The server gave no answer.");
    forget();
    ended.value = "Your session has ended. Sign in again.";
  }).finally(() => (renewing = undefined)));
}

// Pages that came over plain HTTP from another machine have no locks: there each tab asks for itself.
function inTurn(work: () => Promise<void>): Promise<void> {
  return navigator.locks ? navigator.locks.request(KEY, work) : work();
}

/** Keep the session, and share it. */
function take({ accessToken, refreshToken, expiresAt, user }: Session, at: Posted<unknown>["at"]): void {
  keep(refreshToken);
  const shared = { token: accessToken, user, lifeMs: Date.parse(expiresAt) - at };
  hold(shared);
  tabs.postMessage(shared);
}

function hold({ token, user, lifeMs }: NonNullable<Shared>): void {
  ended.value = null;
  access.value = { token, user, endsAt: performance.now() + lifeMs };
  const ahead = Math.min(AHEAD_MS, lifeMs / 4);
  // Spread, so that one tab is the first.
  renewIn(lifeMs - ahead * (1 + Math.random()));
}

function renewIn(wait: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => renew().catch(() => renewIn(AGAIN_MS)), wait);
}

/** Be a guest, in every tab. */
function forget(): void {
  keep(null);
  leave();
  tabs.postMessage(null);
}

function leave(): void {
  clearTimeout(timer);
  access.value = null;
}

/** Whether a session may be there to take up. */
export const isKept = () => kept() !== null;

let lastKept: string | null = null;

function kept(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return lastKept; // storage is forbidden: the session lasts as long as the page
  }
}

function keep(refreshToken: string | null): void {
  lastKept = refreshToken;
  try {
    if (refreshToken === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, refreshToken);
  } catch {
    // see above
  }
}
