// The one GraphQL document of a chart: a query for its bars, a subscription that moves them, and what both select.
import { graphql } from "../graphql";
import type { ChartMovesSubscription, ChartQuery } from "../graphql/graphql";
import { type Entry, isPattern } from "./catalog";
import type { Chosen } from "./choice";

graphql(`
  fragment Bars on History {
    columns {
      epoch
      open
      high
      low
      close
      volume
    }
  }
`);

const CHART = graphql(`
  query Chart($symbol: Symbol!, $interval: Interval!, $to: DateTime, $last: Int!) {
    history(symbol: $symbol, interval: $interval, to: $to, last: $last) {
      ...Bars
      timezone
      currency
      hasOlder
      madeOf
      splits {
        time
        numerator
        denominator
      }
      dividends {
        time
        amount
        currency
      }
      provenance {
        source
        servedFrom
        synthetic
      }
    }
  }
`);

const CHART_MOVES = graphql(`
  subscription ChartMoves($symbol: Symbol!, $interval: Interval!) {
    history(symbol: $symbol, interval: $interval, last: 2) {
      ...Bars
    }
  }
`);

type Series = readonly (number | null)[];
type Named<Value> = Readonly<Record<string, Value>>;

/** What the indicators of a document give: series by key, or by output where there are several, or by key of a pattern. */
export type Answered = { indicators?: Named<Series | Named<Series>> };

export type History = NonNullable<ChartQuery["history"]> & Answered;
export type Moves = ChartMovesSubscription["history"] & Answered;

/** The key of the indicator at this place of the choice: under it the answer has its series. */
export const keyOf = (place: number) => `i${place}`;

export function chartDocument(chosen: readonly Chosen[], catalog: ReadonlyMap<string, Entry>): string {
  const [query, fragment] = parts(CHART.toString());
  const [subscription] = parts(CHART_MOVES.toString());
  const indicators = selection(chosen, catalog);
  return [query, subscription, `${fragment.trimEnd().slice(0, -1).trimEnd()}${indicators}\n}\n`].join("\n");
}

function parts(text: string): [operation: string, fragment: string] {
  const at = text.indexOf("fragment Bars");
  return [text.slice(0, at).trim() + "\n", text.slice(at)];
}

function selection(chosen: readonly Chosen[], catalog: ReadonlyMap<string, Entry>): string {
  const plain: string[] = [];
  const patterns: string[] = [];
  chosen.forEach((indicator, place) => {
    const entry = catalog.get(indicator.name);
    if (entry) (isPattern(entry) ? patterns : plain).push(field(keyOf(place), indicator, entry));
  });
  if (patterns.length) plain.push(`patterns {${patterns.map(indented).join("")}\n}`);
  return plain.length ? indented(`indicators {${plain.map(indented).join("")}\n}`) : "";
}

function field(key: string, { name, arguments: values }: Chosen, entry: Entry): string {
  const known = entry.parameters.filter((parameter) => parameter.name in values && values[parameter.name] !== "null");
  const given = known.map((parameter) => `${parameter.name}: ${values[parameter.name]}`).join(", ");
  const outputs = entry.outputs.length > 1 ? ` { ${entry.outputs.join(" ")} }` : "";
  return `${key}: ${name}${given && `(${given})`}${outputs}`;
}

function indented(text: string): string {
  return `\n${text}`.replaceAll("\n", "\n  ");
}
