// What a screen reader is told when the reader could not have seen it coming; never ticks.
import { signal } from "@preact/signals";

const said = signal("");

export function announce(text: string): void {
  said.value = text;
}

export function Announcer() {
  return (
    <p class="unseen" role="status">
      {said}
    </p>
  );
}
