// The bars of the choice: read, moved on by every tick, and gone back through page by page.
import { batch, computed, effect, signal } from "@preact/signals";

import { askOn, watch } from "../connection";
import type { Interval } from "../graphql/graphql";
import type { Result, UntypedText } from "../operation";
import { catalog } from "./catalog";
import { chosen, interval, symbol } from "./choice";
import { type Columns, columnsOf, joined } from "./columns";
import { chartDocument, type History, type Moves } from "./document";

/** `from` is the first bar that is other than it was. */
export type Shown = { columns: Columns; from: number };

/** What is drawn; null until there is something to draw. */
export const shown = signal<Shown | null>(null);

/** What the newest page said beside its bars. */
export const facts = signal<Omit<History, "columns" | "indicators"> | null>(null);

/** What went wrong with the present choice. */
export const fault = signal<string | null>(null);
export const loading = signal(false);

const PAGE = 500;

/** What the chart asks, to the letter. */
export const asked = computed(() => catalog.value && chartDocument(chosen.value, catalog.value));

type Variables = { symbol: string; interval: Interval };

class Feed {
  private stopMoves = () => {};
  private reading: Promise<void> | undefined;
  private hasOlder = false;
  private ended = false;

  constructor(
    private readonly text: string,
    private readonly variables: Variables,
  ) {}

  /** Read the newest bars, and go on from there. */
  async begin(): Promise<void> {
    const history = await this.page(null);
    if (!history) return;
    this.hasOlder = history.hasOlder;
    batch(() => {
      facts.value = history;
      shown.value = { columns: columnsOf(history), from: 0 };
    });
    const document = operation<{ history: Moves }, Variables>(this.text, "ChartMoves");
    this.stopMoves = watch(document, this.variables, (result) => this.move(result), fail);
  }

  /** Put a page in front of the bars, once at a time, while there is one. */
  older(): void {
    if (this.hasOlder && !this.reading) this.reading = this.goBack().finally(() => (this.reading = undefined));
  }

  end(): void {
    this.ended = true;
    this.stopMoves();
  }

  private async goBack(): Promise<void> {
    const first = shown.value!.columns.epoch[0]!;
    const history = await this.page(new Date(first * 1000).toISOString());
    if (!history) return;
    this.hasOlder = history.hasOlder;
    batch(() => {
      const { splits, dividends } = facts.value!;
      facts.value = {
        ...facts.value!,
        splits: [...history.splits, ...splits],
        dividends: [...history.dividends, ...dividends],
      };
      shown.value = { columns: joined(columnsOf(history), shown.value!.columns), from: 0 };
    });
  }

  private move({ data, errors }: Result<{ history: Moves }>): void {
    if (!data) return fail(errors[0]?.message ?? "The server gave no bars.");
    fault.value = null;
    const held = shown.value!.columns;
    const newer = columnsOf(data.history);
    // Bars between what is held and what came went by unseen, in an outage: they are read anew.
    if (newer.epoch[0]! > held.epoch.at(-1)!) return this.anew();
    const columns = joined(held, newer);
    shown.value = { columns, from: columns.epoch.length - newer.epoch.length };
  }

  private anew(): void {
    this.stopMoves();
    void this.begin();
  }

  private async page(to: string | null): Promise<History | null> {
    loading.value = true;
    const document = operation<{ history: History | null }, Variables & { to: string | null; last: number }>(
      this.text,
      "Chart",
    );
    try {
      const { data, errors } = await askOn(document, { ...this.variables, to, last: PAGE }, () => !this.ended, fail);
      if (this.ended) return null;
      loading.value = false;
      fault.value = errors[0]?.message ?? null;
      return data?.history ?? null;
    } catch (cause) {
      if (!this.ended) fail((cause as Error).message);
      return null;
    }
  }
}

function fail(reason: string): void {
  batch(() => {
    loading.value = false;
    fault.value = reason;
  });
}

function operation<Data, Variables>(text: string, operationName: string): UntypedText<Data, Variables> {
  return { toString: () => text, operationName };
}

let feed: Feed | undefined;
let drawn = "";

effect(() => {
  const text = asked.value;
  const variables = { symbol: symbol.value, interval: interval.value };
  if (!text) return;
  // The bars of another series mean nothing here; those without a new indicator stay until it has come.
  const series = `${variables.symbol} ${variables.interval}`;
  if (series !== drawn) batch(() => ((shown.value = null), (facts.value = null)));
  drawn = series;
  fault.value = null;
  feed = new Feed(text, variables);
  void feed.begin();
  const begun = feed;
  return () => begun.end();
});

/** Ask for the bars before the first one. */
export function loadOlder(): void {
  feed?.older();
}
