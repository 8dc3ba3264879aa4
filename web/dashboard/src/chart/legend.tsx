import { amount, decimals, percent, price, signed } from "../numbers";
import { INTERVALS, removeIndicator } from "./choice";
import { facts, shown } from "./feed";
import { edited } from "./picker";
import { type Line, type Plot, plots } from "./plots";
import { openedAt, place } from "./reading";

/** What the bar under the crosshair, or the newest one, was; and the values of the indicators there. */
export function Legend({ tops }: { tops: readonly number[] }) {
  const panes = plots.value.filter(({ where }) => where === "pane");
  return (
    <>
      <div class="legend" style={{ top: "4px" }}>
        <BarValues />
        {plots.value
          .filter(({ where }) => where !== "pane")
          .map((plot) => (
            <PlotValues key={plot.place} plot={plot} />
          ))}
      </div>
      {panes.map((plot, pane) => (
        <div
          key={plot.place}
          class="legend"
          hidden={tops[pane + 1] === undefined}
          style={{ top: `${(tops[pane + 1] ?? 0) + 4}px` }}
        >
          <PlotValues plot={plot} />
        </div>
      ))}
    </>
  );
}

function BarValues() {
  const at = place.value;
  if (!shown.value || at === null || at < 0) return null;
  const { epoch, open, high, low, close, volume } = shown.value.columns;
  const digits = decimals(close[at]!);
  const before = close[at - 1];
  const change = before === undefined ? null : close[at]! - before;
  return (
    <dl class="bar-values">
      <dt class="unseen">Time</dt>
      <dd>{openedAt(epoch[at]!)}</dd>
      <Value name="O" title="Open" text={price(open[at], digits)} />
      <Value name="H" title="High" text={price(high[at], digits)} />
      <Value name="L" title="Low" text={price(low[at], digits)} />
      <Value name="C" title="Close" text={price(close[at], digits)} />
      <dt class="unseen">Change</dt>
      <dd class={change === null ? "" : change < 0 ? "down" : "up"}>
        {change !== null && `${signed(change, digits)} ${percent((100 * change) / before!)}`}
      </dd>
      <dt class="aside">Vol</dt>
      <dd class="aside">{amount(volume[at])}</dd>
      <Origin />
    </dl>
  );
}

/** Who the bars come from, and what to beware of. */
function Origin() {
  if (!facts.value) return null;
  const { provenance, madeOf } = facts.value;
  return (
    <>
      <dt class="aside">from</dt>
      <dd class="aside">
        {provenance.source}
        {madeOf && `, joined from ${INTERVALS[madeOf]}`}
        {provenance.servedFrom === "STALE" && <span class="badge warning">stale</span>}
        {provenance.synthetic && <span class="badge">synthetic</span>}
      </dd>
    </>
  );
}

function Value({ name, title, text }: { name: string; title: string; text: string }) {
  return (
    <>
      <dt title={title}>{name}</dt>
      <dd>{text}</dd>
    </>
  );
}

function PlotValues({ plot }: { plot: Plot }) {
  return (
    <div class="plot-values">
      <button
        type="button"
        class="label"
        aria-label={`Change ${plot.label}`}
        onClick={() => (edited.value = plot.place)}
      >
        {plot.label}
      </button>
      {plot.where !== "marks" &&
        plot.lines.map((line) => (
          <span key={line.key} class={`series-${(line.color % 8) + 1}`} title={line.output}>
            {valueOf(line)}
          </span>
        ))}
      <button
        type="button"
        class="remove"
        aria-label={`Remove ${plot.label}`}
        onClick={() => removeIndicator(plot.place)}
      >
        ×
      </button>
    </div>
  );
}

function valueOf(line: Line): string {
  const value = shown.value?.columns.series[line.key]?.[place.value ?? -1];
  if (value == null) return "–";
  return Math.abs(value) >= 100_000 ? amount(value) : price(value);
}
