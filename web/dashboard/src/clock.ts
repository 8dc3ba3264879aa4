// The present, for ages that grow and waits that shrink.
import { signal } from "@preact/signals";

/** Milliseconds since the page was opened, once a second: the clock of the computer may be wrong, and be set. */
export const now = signal(performance.now());

setInterval(() => (now.value = performance.now()), 1000);
