// What this browser remembers from one visit to the next.
import { effect, signal, type Signal } from "@preact/signals";

/** The value kept under the name, or `otherwise` where none is kept or `fits` refuses it; every change is kept. */
export function remembered<T>(name: string, otherwise: T, fits: (kept: unknown) => kept is T): Signal<T> {
  const key = `smartfin:${name}`;
  const value = signal(kept(key, fits) ?? otherwise);
  effect(() => {
    const text = JSON.stringify(value.value);
    try {
      localStorage.setItem(key, text);
    } catch {
      // Storage is full or forbidden: what was chosen then lasts as long as the page.
    }
  });
  return value;
}

function kept<T>(key: string, fits: (kept: unknown) => kept is T): T | undefined {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? "null");
    return fits(value) ? value : undefined;
  } catch {
    return undefined; // forbidden, or no JSON
  }
}
