import { signal, useSignal } from "@preact/signals";

import { INTERVALS, symbol as charted } from "../chart/choice";
import { Dialog } from "../dialog";
import { decimals, duration } from "../numbers";
import { quoteOf } from "../watchlist/quotes";
import { type AlertInput, create, update } from "./alerts";
import { METHODS, METRICS, OPERATORS } from "./words";

/** The alert that is being written, with its id where it is there already; null while none is. */
export const draft = signal<{ id: string | null; terms: AlertInput } | null>(null);

/** Begin to write one about what is charted. */
export function newAlert(): void {
  const price = quoteOf(charted.value).value.quote?.price ?? 0;
  const threshold = Number((1.01 * price).toFixed(decimals(price)));
  draft.value = { id: null, terms: { symbol: charted.value, operator: "CROSSES_ABOVE", threshold, metric: "PRICE" } };
}

/** The dialog in which every term of an alert is written. */
export function AlertForm() {
  const written = draft.value;
  return (
    <Dialog
      open={written !== null}
      title={written?.id ? "Change the alert" : "A new alert"}
      onClose={() => (draft.value = null)}
    >
      {written && <Terms id={written.id} terms={written.terms} />}
    </Dialog>
  );
}

type Metric = NonNullable<AlertInput["metric"]>;
type Method = keyof typeof METHODS;

// What has a period, and which it is if none is written.
const PERIODS: Partial<Record<Metric, number>> = { SMA: 20, EMA: 20, RSI: 14, BOLLINGER_PERCENT_B: 20 };
const OF_TICKS: readonly Metric[] = ["PRICE", "CHANGE_PERCENT", "VOLUME"];
const COOLDOWNS = [60, 300, 900, 3_600, 14_400, 86_400];

function Terms({ id, terms }: { id: string | null; terms: AlertInput }) {
  const metric = useSignal<Metric>(terms.metric ?? "PRICE");
  const methods = useSignal<readonly Method[]>(terms.notificationMethods ?? ["WEB"]);
  const fault = useSignal("");
  const isAsking = useSignal(false);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(given.get(name) ?? "").trim() || null;
    const number = (name: string) => (text(name) === null ? null : Number(text(name)));
    const input: AlertInput = {
      symbol: text("symbol")!,
      metric: metric.value,
      operator: text("operator") as AlertInput["operator"],
      threshold: number("threshold")!,
      period: number("period"),
      interval: text("interval") as AlertInput["interval"],
      cooldownSeconds: number("cooldown"),
      notificationMethods: [...methods.value],
      webhookUrl: text("webhookUrl"),
      phone: text("phone"),
      isActive: true,
    };
    isAsking.value = true;
    try {
      await (id ? update(id, input) : create(input));
      draft.value = null;
    } catch (cause) {
      fault.value = (cause as Error).message;
    } finally {
      isAsking.value = false;
    }
  };

  const isOfTicks = OF_TICKS.includes(metric.value);
  const cooldowns = [...new Set([...COOLDOWNS, terms.cooldownSeconds ?? 60])].sort((one, other) => one - other);
  return (
    <form onSubmit={submit}>
      <label>
        Symbol
        <input name="symbol" required defaultValue={terms.symbol} />
      </label>
      <label>
        What
        <select value={metric.value} onChange={(event) => (metric.value = event.currentTarget.value as Metric)}>
          <Options of={METRICS} />
        </select>
      </label>
      {PERIODS[metric.value] && (
        <label key={metric.value}>
          Period
          <input
            name="period"
            type="number"
            min={1}
            required
            defaultValue={metric.value === terms.metric ? (terms.period ?? "") : PERIODS[metric.value]}
          />
        </label>
      )}
      <label>
        Of
        <select name="interval">
          {isOfTicks && <option value="">every tick</option>}
          <Options
            of={INTERVALS}
            selected={terms.interval ?? (isOfTicks ? undefined : "H1")}
            after=" bars, once final"
          />
        </select>
      </label>
      <label>
        When it
        <select name="operator">
          <Options of={OPERATORS} selected={terms.operator} />
        </select>
      </label>
      <label>
        Threshold
        <input name="threshold" type="number" step="any" required autofocus defaultValue={String(terms.threshold)} />
      </label>
      <label>
        How often
        <select name="cooldown">
          <option value="">once</option>
          {cooldowns.map((seconds) => (
            <option key={seconds} value={seconds} selected={seconds === terms.cooldownSeconds}>
              at most every {duration(seconds)}
            </option>
          ))}
        </select>
      </label>
      <fieldset>
        <legend>Told by</legend>
        {Object.entries(METHODS).map(([method, text]) => (
          <label key={method}>
            <input
              type="checkbox"
              checked={methods.value.includes(method as Method)}
              onChange={({ currentTarget }) =>
                (methods.value = currentTarget.checked
                  ? [...methods.value, method as Method]
                  : methods.value.filter((other) => other !== method))
              }
            />
            {text}
          </label>
        ))}
      </fieldset>
      {methods.value.includes("WEBHOOK") && (
        <label>
          Webhook
          <input name="webhookUrl" type="url" required placeholder="https://" defaultValue={terms.webhookUrl ?? ""} />
        </label>
      )}
      {methods.value.includes("SMS") && (
        <label>
          Phone
          <input name="phone" type="tel" required placeholder="+14155550100" defaultValue={terms.phone ?? ""} />
        </label>
      )}
      {fault.value && (
        <p class="fault" role="alert">
          {fault}
        </p>
      )}
      <button type="submit" class="primary" disabled={isAsking.value || methods.value.length === 0}>
        {id ? "Apply" : "Make the alert"}
      </button>
    </form>
  );
}

type OptionsProps = { of: Record<string, string>; selected?: string; after?: string };

function Options({ of, selected, after = "" }: OptionsProps) {
  return (
    <>
      {Object.entries(of).map(([value, text]) => (
        <option key={value} value={value} selected={value === selected}>
          {text}
          {after}
        </option>
      ))}
    </>
  );
}
