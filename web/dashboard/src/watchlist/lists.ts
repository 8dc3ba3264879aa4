// What is watched, in the reader's order: the list of this browser, and for who is signed in those of the account.
import { batch, computed, effect, signal } from "@preact/signals";

import { change } from "../account/session";
import { askOn, connection, viewer } from "../connection";
import { graphql } from "../graphql";
import type { WatchlistsQuery } from "../graphql/graphql";
import { remembered } from "../remembered";

const WATCHLISTS = graphql(`
  query Watchlists {
    watchlists {
      id
      name
      symbols
    }
  }
`);

const SAVE_WATCHLIST = graphql(`
  mutation SaveWatchlist($name: String!, $symbols: [Symbol!]!) {
    saveWatchlist(name: $name, symbols: $symbols) {
      id
      name
      symbols
    }
  }
`);

const DELETE_WATCHLIST = graphql(`
  mutation DeleteWatchlist($id: ID!) {
    deleteWatchlist(id: $id)
  }
`);

type List = WatchlistsQuery["watchlists"][number];

/** Of a list, as the server has it. */
export const MOST = 100;
export const LONGEST_NAME = 60;

const FIRST_VISIT = ["AAPL", "MSFT", "NVDA", "TSLA", "SPY", "EURUSD=X", "BTC-USD", "ETH-USD"];

const here = remembered<readonly string[]>("watchlist", FIRST_VISIT, areSymbols);

/** The name of the list to show, empty for that of this browser; null where none was chosen. */
const chosen = remembered<string | null>("list", null, (kept): kept is string => typeof kept === "string");

/** Those of the account, the oldest first: none for a guest, null until the server has told. */
export const lists = signal<readonly List[] | null>(null);

/** The one that is shown; null where it is that of this browser. */
export const list = computed(() => {
  if (chosen.value === "") return null;
  return lists.value?.find(({ name }) => name === chosen.value) ?? lists.value?.[0] ?? null;
});

export const symbols = computed(() => {
  if (!lists.value) return [];
  return list.value?.symbols ?? here.value;
});

/** What went wrong with the lists of the account. */
export const listsFault = signal<string | null>(null);

/** Show the list of this name; the empty one is that of this browser. */
export function choose(name: string): void {
  chosen.value = name;
}

export function add(symbol: string): void {
  if (!symbols.value.includes(symbol) && symbols.value.length < MOST) put([...symbols.value, symbol]);
}

export function remove(symbol: string): void {
  put(symbols.value.filter((other) => other !== symbol));
}

/** Puts the symbol at the place, counted from 0, or as near as there is one. */
export function move(symbol: string, place: number): void {
  const others = symbols.value.filter((other) => other !== symbol);
  put(others.toSpliced(Math.max(0, place), 0, symbol));
}

/** A new list in the account, which is shown from then on; of a name that is taken it would be the other one. */
export function make(name: string, wanted: readonly string[]): Promise<void> {
  return inTurn(async () => {
    const { data, errors } = await change(SAVE_WATCHLIST, { name, symbols: [...wanted] });
    if (!data) throw new Error(errors[0]?.message);
    batch(() => {
      lists.value = [...lists.value!, data.saveWatchlist];
      chosen.value = data.saveWatchlist.name;
    });
  });
}

/** Take the list that is shown out of the account. */
export function drop({ id }: List): Promise<void> {
  return inTurn(async () => {
    const { data, errors } = await change(DELETE_WATCHLIST, { id });
    if (!data) throw new Error(errors[0]?.message);
    batch(() => {
      lists.value = lists.value!.filter((other) => other.id !== id);
      chosen.value = null;
    });
  });
}

function put(wanted: readonly string[]): void {
  const present = list.value;
  if (!present) return void (here.value = wanted);
  lists.value = lists.value!.map((other) => (other === present ? { ...present, symbols: [...wanted] } : other));
  void inTurn(async () => {
    const { data, errors } = await change(SAVE_WATCHLIST, { name: present.name, symbols: [...wanted] });
    if (!data) throw new Error(errors[0]?.message);
  });
}

let last: Promise<void> = Promise.resolve();

/** One change after the other; after one that failed, what the server has is shown again. */
function inTurn(changed: () => Promise<void>): Promise<void> {
  return (last = last.then(async () => {
    listsFault.value = null;
    try {
      await changed();
    } catch (cause) {
      await read();
      listsFault.value = `This was not kept. ${(cause as Error).message}`;
    }
  }));
}

async function read(): Promise<void> {
  const of = viewer.peek();
  const wanted = () => viewer.peek() === of;
  try {
    const { data, errors } = await askOn(WATCHLISTS, {}, wanted, (reason) => (listsFault.value = reason));
    if (!wanted()) return;
    lists.value = data?.watchlists ?? lists.value;
    listsFault.value = errors[0]?.message ?? null;
  } catch (cause) {
    if (wanted()) listsFault.value = (cause as Error).message;
  }
}

effect(() => {
  lists.value = viewer.value === null ? [] : null;
  listsFault.value = null;
});

// They may have been changed elsewhere while this page could not see it, or was not seen.
const readAgain = () => viewer.peek() && connection.peek().state === "live" && (last = last.then(read));
connection.subscribe(readAgain);
document.addEventListener("visibilitychange", () => document.hidden || readAgain());

function areSymbols(kept: unknown): kept is readonly string[] {
  return (
    Array.isArray(kept) && kept.length <= MOST && kept.every((symbol) => typeof symbol === "string" && symbol !== "")
  );
}
