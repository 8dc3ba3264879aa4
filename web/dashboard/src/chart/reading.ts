// Which bar the reader looks at.
import { computed, signal } from "@preact/signals";

import { interval, isWithinDay } from "./choice";
import { placeOf } from "./columns";
import { facts, shown } from "./feed";
import { barTime } from "./venue-time";

/** The opening of the bar under the crosshair. */
export const hovered = signal<number | null>(null);

/** Its place among the bars; the newest one's where the crosshair is on none. */
export const place = computed(() => {
  if (!shown.value) return null;
  const { columns } = shown.value;
  const last = columns.epoch.length - 1;
  return hovered.value === null ? last : Math.min(placeOf(columns, hovered.value), last);
});

/** When a bar opened, by the clocks at the venue. */
export function openedAt(epoch: number): string {
  const withinDay = isWithinDay(interval.value);
  return barTime(epoch, withinDay ? (facts.value?.timezone ?? "UTC") : "UTC", withinDay);
}
