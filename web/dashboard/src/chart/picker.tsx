import { signal, useSignal } from "@preact/signals";

import { Dialog } from "../dialog";
import { catalog, catalogFault, type Entry, isNumber } from "./catalog";
import { addIndicator, changeIndicator, chosen, type Chosen, MOST_INDICATORS } from "./choice";

/** The place of the indicator whose parameters are shown, "new" where one is being chosen, null while neither is. */
export const edited = signal<number | "new" | null>(null);

/** The dialog that adds an indicator from all that the server knows, or changes the parameters of one. */
export function Picker() {
  const place = edited.value;
  return (
    <Dialog
      open={place !== null}
      title={place === "new" ? "Add an indicator" : "Change the indicator"}
      onClose={() => (edited.value = null)}
    >
      {place === "new" ? <Choose /> : place !== null && <Change place={place} />}
    </Dialog>
  );
}

// The many patterns come after what is asked for more often.
const GROUPS = ["trend", "momentum", "volatility", "volume", "price", "statistics", "cycles", "patterns"];

function Choose() {
  const text = useSignal("");
  const entry = useSignal<Entry | null>(null);
  if (catalogFault.value) return <p class="fault">{catalogFault}</p>;
  if (chosen.value.length >= MOST_INDICATORS)
    return <p class="hint">{MOST_INDICATORS} are on the chart: remove one first.</p>;
  if (entry.value) {
    const { name } = entry.value;
    return (
      <Parameters
        entry={entry.value}
        values={{}}
        verb="Add"
        done={(values) => addIndicator({ name, arguments: values })}
      />
    );
  }
  const words = text.value.toLowerCase().split(" ").filter(Boolean);
  const found = [...(catalog.value?.values() ?? [])].filter(({ name, title, group }) => {
    const all = `${name} ${title} ${group}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
  const groups = Map.groupBy(found, ({ group }) => group);
  const ordered = [...groups].sort(([one], [other]) => GROUPS.indexOf(one) - GROUPS.indexOf(other));
  return (
    <>
      <input
        type="search"
        class="filter"
        aria-label="Filter the indicators"
        placeholder={`Filter ${catalog.value?.size ?? ""} indicators`}
        autofocus
        value={text.value}
        onInput={(event) => (text.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && ordered[0]) entry.value = ordered[0][1][0]!;
        }}
      />
      <div class="found">
        {found.length === 0 && <p class="hint">None has these words.</p>}
        {ordered.map(([group, entries]) => (
          <section key={group} aria-label={group}>
            <h3>{group}</h3>
            <ul>
              {entries.map((each) => (
                <li key={each.name}>
                  <button type="button" onClick={() => (entry.value = each)}>
                    {each.title} <small>{each.name}</small>
                  </button>
                </li>
              ))}
            </ul>
          </section>
        ))}
      </div>
    </>
  );
}

function Change({ place }: { place: number }) {
  const present = chosen.value[place];
  const entry = present && catalog.value?.get(present.name);
  if (!entry) return null;
  const done = (values: Chosen["arguments"]) => changeIndicator(place, { name: entry.name, arguments: values });
  return <Parameters entry={entry} values={present.arguments} verb="Apply" done={done} />;
}

type ParametersProps = {
  entry: Entry;
  values: Chosen["arguments"];
  verb: string;
  done: (values: Chosen["arguments"]) => void;
};

function Parameters({ entry, values, verb, done }: ParametersProps) {
  return (
    <form
      method="dialog"
      onSubmit={(event) => {
        const given = new FormData(event.currentTarget as HTMLFormElement);
        done(Object.fromEntries(entry.parameters.map(({ name }) => [name, String(given.get(name))])));
      }}
    >
      <h3>{entry.title}</h3>
      <p class="docs">{unwrapped(entry.docs)}</p>
      {entry.parameters.map((parameter) => (
        <label key={parameter.name}>
          {words(parameter.name)}
          <Argument parameter={parameter} value={values[parameter.name] ?? parameter.default} />
        </label>
      ))}
      <button type="submit" class="primary" autofocus={entry.parameters.length === 0}>
        {verb}
      </button>
    </form>
  );
}

// The values of the schema's enums that an indicator may take.
const CHOICES: Record<string, readonly string[]> = {
  PriceField: ["OPEN", "HIGH", "LOW", "CLOSE", "HL2", "HLC3", "OHLC4"],
  Anchor: ["null", "SESSION", "WEEK", "MONTH", "QUARTER", "YEAR"],
};

function Argument({ parameter, value }: { parameter: Entry["parameters"][number]; value: string }) {
  const { name, type, minimum, maximum } = parameter;
  if (isNumber(parameter)) {
    const step = type === "Int" ? 1 : "any";
    return (
      <input
        name={name}
        type="number"
        required
        min={minimum ?? undefined}
        max={maximum ?? undefined}
        step={step}
        defaultValue={value}
      />
    );
  }
  return (
    <select name={name}>
      {(CHOICES[type] ?? [value]).map((choice) => (
        <option key={choice} value={choice} selected={choice === value}>
          {choice === "null" ? "as usual for the interval" : choice.toLowerCase()}
        </option>
      ))}
    </select>
  );
}

/** Its paragraphs a line each: the width of the dialog breaks them, not that of the source. */
function unwrapped(docs: string): string {
  return docs.replace(/(?<!\n)\n(?!\n)/g, " ");
}

/** standardDeviations → standard deviations */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
