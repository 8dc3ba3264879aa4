import { signal, useSignal } from "@preact/signals";

import { announce } from "../announcer";
import { now } from "../clock";
import { Dialog } from "../dialog";
import { duration } from "../numbers";
import { codeOf } from "../operation";
import { Budget } from "./budget";
import { ended, signIn, signOut, signUp, user } from "./session";

/** Why the dialog is open, empty where the reader asked for it; null while it is closed. */
const reason = signal<string | null>(null);

/** Ask a guest to sign in, because of the reason. */
export function invite(because: string): void {
  reason.value = because;
}

/** Says who is signed in, and opens the dialog about it. */
export function AccountButton() {
  return (
    <button type="button" class="account" onClick={() => (reason.value = "")}>
      {user.value ? user.value.email : "Sign in"}
    </button>
  );
}

/** Tells that the session has ended, where nobody here ended it. */
export function SessionEnded() {
  if (!ended.value) return null;
  return (
    <p class="notice" role="alert">
      {ended}{" "}
      <button type="button" onClick={() => (reason.value = "")}>
        Sign in
      </button>
      <button type="button" class="remove" aria-label="Dismiss" onClick={() => (ended.value = null)}>
        ×
      </button>
    </p>
  );
}

/** The dialog in which a guest signs in or up, and a user sees his tier and budget, and signs out. */
export function Account() {
  const close = () => (reason.value = null);
  return (
    <Dialog open={reason.value !== null} title={user.value ? "Your account" : "Sign in"} onClose={close}>
      {user.value ? <Own done={close} /> : <Credentials done={close} />}
      <Budget />
    </Dialog>
  );
}

const LEAST_CHARACTERS = 12;

function Credentials({ done }: { done: () => void }) {
  const isNew = useSignal(false);
  const isAsking = useSignal(false);
  const fault = useSignal("");
  /** When to try again, on the clock of `now`. */
  const until = useSignal(0);
  const wait = Math.ceil((until.value - now.value) / 1000);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement);
    const [email, password] = [String(given.get("email")), String(given.get("password"))];
    isAsking.value = true;
    fault.value = "";
    try {
      const refusal = await (isNew.value ? signUp : signIn)(email, password);
      if (!refusal) {
        announce(`Signed in as ${email}`);
        return done();
      }
      const retryAfter = Number(refusal.extensions?.retryAfter ?? 0);
      if (codeOf(refusal) === "TOO_MANY_ATTEMPTS") until.value = performance.now() + 1000 * retryAfter;
      else fault.value = refusal.message;
    } catch (cause) {
      fault.value = (cause as Error).message;
    } finally {
      isAsking.value = false;
    }
  };

  return (
    <form onSubmit={submit}>
      <p class="docs">{reason.value || "Who is signed in keeps watchlists for all browsers, and is told by alerts."}</p>
      <label>
        E-mail
        <input name="email" type="email" required autocomplete="username" autofocus maxLength={254} />
      </label>
      <label>
        Password
        <input
          name="password"
          type="password"
          required
          autocomplete={isNew.value ? "new-password" : "current-password"}
          minLength={isNew.value ? LEAST_CHARACTERS : undefined}
          maxLength={256}
        />
      </label>
      {isNew.value && <p class="docs">At least {LEAST_CHARACTERS} characters.</p>}
      {(fault.value || wait > 0) && (
        <p class="fault" role="alert">
          {wait > 0 ? `That was tried too often. Try again in ${duration(wait)}.` : fault}
        </p>
      )}
      <p class="choices">
        <button type="button" onClick={() => (isNew.value = !isNew.value)}>
          {isNew.value ? "I have an account" : "Make an account"}
        </button>
        <button type="submit" class="primary" disabled={isAsking.value || wait > 0}>
          {isNew.value ? "Sign up" : "Sign in"}
        </button>
      </p>
    </form>
  );
}

function Own({ done }: { done: () => void }) {
  const leave = async () => {
    done();
    announce("Signed out");
    await signOut().catch(
      () => (ended.value = "You are signed out here; the server could not be told, and keeps the session for a while."),
    );
  };
  return (
    <div class="own">
      <p>
        Signed in as <b>{user.value?.email}</b>
      </p>
      <button type="button" onClick={() => void leave()}>
        Sign out
      </button>
    </div>
  );
}
