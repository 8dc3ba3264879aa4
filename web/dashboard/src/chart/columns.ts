// Bars and what was computed on them, column by column, as they travel and as they are drawn.
import type { Answered, Moves } from "./document";

export type Series = readonly (number | null)[];

/** One value a bar in each, ascending by `epoch`, the seconds since 1970 of the bar's opening. */
export type Columns = Readonly<{
  epoch: readonly number[];
  open: readonly number[];
  high: readonly number[];
  low: readonly number[];
  close: readonly number[];
  volume: Series;
  /** By key of the indicator, with a dot and the output where it has several. */
  series: Readonly<Record<string, Series>>;
}>;

export function columnsOf({ columns, indicators = {} }: Moves): Columns {
  return { ...columns, series: flat(indicators) };
}

function flat(indicators: NonNullable<Answered["indicators"]>): Record<string, Series> {
  const series: Record<string, Series> = {};
  for (const [key, values] of Object.entries(indicators)) {
    if (Array.isArray(values)) series[key] = values;
    else if (key === "patterns") Object.assign(series, values);
    else for (const [output, inner] of Object.entries(values)) series[`${key}.${output}`] = inner;
  }
  return series;
}

/** The newer bars, and those before them: of a bar that both have, the newer word counts. */
export function joined(older: Columns, newer: Columns): Columns {
  const count = placeOf(older, newer.epoch[0] ?? Infinity);
  const join = <T>(before: readonly T[], after: readonly T[]) => [...before.slice(0, count), ...after];
  return {
    epoch: join(older.epoch, newer.epoch),
    open: join(older.open, newer.open),
    high: join(older.high, newer.high),
    low: join(older.low, newer.low),
    close: join(older.close, newer.close),
    volume: join(older.volume, newer.volume),
    series: Object.fromEntries(
      Object.entries(newer.series).map(([key, values]) => [key, join(older.series[key] ?? [], values)]),
    ),
  };
}

/** Where the bar that opens then, or the first one later, stands. */
export function placeOf({ epoch }: Columns, wanted: number): number {
  let low = 0;
  let high = epoch.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (epoch[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
