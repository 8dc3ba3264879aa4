// How the chosen indicators are drawn: over the bars or in a pane, as lines, columns, points or marks.
import { computed } from "@preact/signals";

import { catalog, isPattern, label } from "./catalog";
import { chosen } from "./choice";
import { keyOf } from "./document";

export type Line = {
  /** Its key among the series of `Columns`. */
  key: string;
  output: string;
  kind: "line" | "columns" | "points";
  /** The series whose sign says whether it is drawn as rising or falling. */
  signKey?: string;
  /** Which of the colours, counted over all lines of the chart. */
  color: number;
};

export type Plot = {
  place: number;
  label: string;
  /** "bars": over them; "pane": in one of its own; "marks": signs at the bars. */
  where: "bars" | "pane" | "marks";
  lines: readonly Line[];
};

// What jumps from bar to bar would mislead as a line.
const POINTS = new Set(["parabolicSar", "fractals", "trendMode"]);

/** The indicators in the order chosen, those left out that the server does not know. */
export const plots = computed<readonly Plot[]>(() => {
  let color = 0;
  return chosen.value.flatMap((indicator, place): Plot[] => {
    const entry = catalog.value?.get(indicator.name);
    if (!entry) return [];
    const key = keyOf(place);
    const keyed = (output: string) => (entry.outputs.length > 1 ? `${key}.${output}` : key);
    const signKey = entry.outputs.includes("direction") ? keyed("direction") : undefined;
    const lines = entry.outputs
      .filter((output) => output !== "direction")
      .map((output): Line => {
        const kind = output === "histogram" ? "columns" : POINTS.has(indicator.name) ? "points" : "line";
        return { key: keyed(output), output, kind, signKey, color: color++ };
      });
    const where = isPattern(entry) ? "marks" : entry.overlay ? "bars" : "pane";
    return [{ place, label: label(indicator, entry), where, lines }];
  });
});
