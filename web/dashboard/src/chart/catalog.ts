// Every indicator that the server knows.
import { signal } from "@preact/signals";

import { askOn } from "../connection";
import { graphql } from "../graphql";
import type { CatalogQuery } from "../graphql/graphql";
import type { Chosen } from "./choice";

const CATALOG = graphql(`
  query Catalog {
    indicatorCatalog {
      name
      title
      group
      overlay
      docs
      outputs
      parameters {
        name
        type
        default
        minimum
        maximum
      }
    }
  }
`);

export type Entry = CatalogQuery["indicatorCatalog"][number];

/** By name; null until the server has told. */
export const catalog = signal<ReadonlyMap<string, Entry> | null>(null);
export const catalogFault = signal<string | null>(null);

askOn(
  CATALOG,
  {},
  () => true,
  (reason) => (catalogFault.value = reason),
).then(
  ({ data, errors }) => {
    if (data) catalog.value = new Map(data.indicatorCatalog.map((entry) => [entry.name, entry]));
    catalogFault.value = data ? null : (errors[0]?.message ?? "The server named no indicators.");
  },
  (cause: Error) => (catalogFault.value = cause.message),
);

export const isPattern = (entry: Entry) => entry.group === "patterns";

/** EMA 20, Bollinger Bands 20 2: a short name is an abbreviation, and arguments tell two of a kind apart. */
export function label({ name, arguments: values }: Chosen, entry: Entry): string {
  const shown = name.length <= 5 && !isPattern(entry) ? name.toUpperCase() : entry.title;
  const told = entry.parameters.map((parameter) => [parameter, values[parameter.name] ?? parameter.default] as const);
  const numbers = told.filter(([parameter, value]) => isNumber(parameter) || value !== parameter.default);
  return [shown, ...numbers.map(([, value]) => value)].join(" ");
}

export const isNumber = (parameter: Entry["parameters"][number]) =>
  parameter.type === "Int" || parameter.type === "Float";
