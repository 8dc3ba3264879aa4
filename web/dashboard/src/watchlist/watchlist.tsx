import { signal } from "@preact/signals";

import { user } from "../account/session";
import { Dialog } from "../dialog";
import { choose, drop, list, lists, listsFault, LONGEST_NAME, make, symbols } from "./lists";
import { quotesFault } from "./quotes";
import { Row } from "./row";

const isNaming = signal(false);

export function Watchlist() {
  const fault = listsFault.value ?? quotesFault.value;
  return (
    <section class="panel watchlist" aria-labelledby="watchlist">
      <header>
        <h2 id="watchlist">Watchlist</h2>
        {user.value && lists.value && <Lists />}
      </header>
      {fault && (
        <p class="fault" role="alert">
          {fault}
        </p>
      )}
      {user.value && lists.value && !list.value && <Offer />}
      {symbols.value.length === 0 && (
        <p class="hint">
          {lists.value ? "Nothing is watched. Search above to add a symbol." : "Loading your watchlists…"}
        </p>
      )}
      <ol>
        {symbols.value.map((symbol, place) => (
          <Row key={symbol} symbol={symbol} place={place} />
        ))}
      </ol>
      <Dialog open={isNaming.value} title="A new watchlist" onClose={() => (isNaming.value = false)}>
        <Naming />
      </Dialog>
    </section>
  );
}

/** Which list is shown, and buttons that make and delete one. */
function Lists() {
  const shown = list.value;
  return (
    <>
      <select
        aria-label="Which watchlist"
        value={shown?.name ?? ""}
        onChange={(event) => choose(event.currentTarget.value)}
      >
        {lists.value!.map(({ id, name }) => (
          <option key={id} value={name}>
            {name}
          </option>
        ))}
        <option value="">This browser</option>
      </select>
      <button type="button" onClick={() => (isNaming.value = true)}>
        New…
      </button>
      {shown && (
        <button
          type="button"
          onClick={() => confirm(`Delete the watchlist “${shown.name}” for good?`) && void drop(shown)}
        >
          Delete
        </button>
      )}
    </>
  );
}

/** What this browser watches may be taken into the account. */
function Offer() {
  return (
    <p class="hint">
      This list is kept in this browser alone.{" "}
      <button type="button" onClick={() => void make(freeName("My list"), symbols.value)}>
        Keep it in my account
      </button>
    </p>
  );
}

function Naming() {
  return (
    <form
      method="dialog"
      onSubmit={(event) => {
        const given = new FormData(event.currentTarget as HTMLFormElement);
        void make(String(given.get("name")).trim(), given.has("copy") ? symbols.value : []);
      }}
    >
      <label>
        Name
        <input
          name="name"
          required
          autofocus
          maxLength={LONGEST_NAME}
          onInput={({ currentTarget }) => currentTarget.setCustomValidity(complaint(currentTarget.value.trim()))}
        />
      </label>
      <label>
        With the symbols that are shown
        <input name="copy" type="checkbox" />
      </label>
      <button type="submit" class="primary">
        Make it
      </button>
    </form>
  );
}

const isTaken = (name: string) => lists.value!.some((other) => other.name === name);

/** What is wrong with a name; empty where nothing is. */
function complaint(name: string): string {
  if (!name) return "Give it a name.";
  return isTaken(name) ? "You have a list of this name." : "";
}

/** The name, or with a number after it, such as no list has. */
function freeName(name: string): string {
  let free = name;
  for (let number = 2; isTaken(free); number += 1) free = `${name} ${number}`;
  return free;
}
