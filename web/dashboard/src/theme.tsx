// Dark or light: as the system is, unless the reader says otherwise.
import { effect, signal } from "@preact/signals";

import { remembered } from "./remembered";

const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };
type Theme = keyof typeof THEMES;

const theme = remembered<Theme>("theme", "auto", (kept): kept is Theme => String(kept) in THEMES);

/** Counts the changes of what colours look like, for what is painted rather than styled. */
export const repainted = signal(0);

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  repainted.value = repainted.peek() + 1;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (repainted.value += 1));

export function ThemeSwitch() {
  return (
    <label class="theme">
      <span class="unseen">Colours</span>
      <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
        {Object.entries(THEMES).map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
