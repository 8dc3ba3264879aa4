// How things stand, told honestly: the connection first, then the market of what is charted.
import { computed, effect } from "@preact/signals";

import { announce } from "./announcer";
import { market } from "./chart/asset";
import { now } from "./clock";
import { connection } from "./connection";
import { moment } from "./numbers";

type Standing = { tone: "good" | "quiet" | "bad"; text: string; detail?: string };

/** Without the seconds that pass, so that it changes only as things do. */
const standing = computed<Standing>(() => {
  const state = connection.value;
  switch (state.state) {
    case "connecting":
      return { tone: "quiet", text: "Connecting…" };
    case "refused":
      return { tone: "bad", text: "Disconnected", detail: state.reason };
    case "waiting":
    case "retrying":
      return {
        tone: "bad",
        text: "Reconnecting",
        detail: state.since ? `prices are of ${state.since.toLocaleTimeString("en-GB")}` : "",
      };
    case "live":
      return marketStanding();
  }
});

function marketStanding(): Standing {
  if (!market.value || market.value.phase === "OPEN") {
    const closing = market.value?.closesAt;
    return {
      tone: "good",
      text: "Live",
      detail: closing ? `${market.value!.name} closes ${moment(closing)}` : undefined,
    };
  }
  const { name, phase, nextOpen, isHoliday } = market.value;
  const text = { PRE: "Live · before the open", POST: "Live · after hours", CLOSED: "Market closed" }[phase];
  const opening = nextOpen ? `opens ${moment(nextOpen)}` : "";
  return { tone: "quiet", text, detail: [name, isHoliday && "holiday", opening].filter(Boolean).join(" · ") };
}

let announced = "";
effect(() => {
  const { text, detail } = standing.value;
  const said = [text, detail].filter(Boolean).join(", ");
  if (said !== announced) announce((announced = said));
});

export function Status() {
  const { tone, text, detail } = standing.value;
  const state = connection.value;
  const wait = state.state === "waiting" ? Math.ceil((state.until - now.value) / 1000) : 0;
  return (
    <p class={`status ${tone}`} data-state={state.state}>
      <b>
        {text}
        {wait > 0 && ` in ${wait} s`}
        {state.state === "retrying" && "…"}
      </b>
      {detail && <span> {detail}</span>}
      {state.state === "refused" && (
        <button type="button" onClick={() => location.reload()}>
          Try again
        </button>
      )}
    </p>
  );
}
