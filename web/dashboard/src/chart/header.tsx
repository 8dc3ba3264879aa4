import { effect } from "@preact/signals";

import { decimals, percent, price, signed } from "../numbers";
import { quoteOf } from "../watchlist/quotes";
import { placeAlert } from "./alert-lines";
import { asset } from "./asset";
import { INTERVALS, interval, symbol } from "./choice";
import { edited } from "./picker";

/** What is charted, at what price, and how. */
export function Header({ link }: { link: string | null }) {
  const { quote } = quoteOf(symbol.value).value;
  const digits = decimals(quote?.price ?? 0);
  return (
    <header>
      <h2 id="charted">
        {symbol} <small>{asset.value?.name}</small>
      </h2>
      <p class="last">
        <b>{price(quote?.price, digits)}</b> <small>{quote?.currency}</small>{" "}
        <span class={quote?.change == null ? "" : quote.change < 0 ? "down" : "up"}>
          {quote?.change != null && signed(quote.change, digits)} {percent(quote?.changePercent)}
        </span>
      </p>
      <div class="tools">
        <fieldset class="intervals">
          <legend class="unseen">Length of a bar</legend>
          {Object.entries(INTERVALS).map(([name, text]) => (
            <label key={name}>
              <input
                type="radio"
                name="interval"
                value={name}
                checked={interval.value === name}
                onChange={() => (interval.value = name as keyof typeof INTERVALS)}
              />
              <span>{text}</span>
            </label>
          ))}
        </fieldset>
        <button type="button" onClick={() => (edited.value = "new")}>
          + Indicator
        </button>
        <button type="button" onClick={placeAlert}>
          + Alert
        </button>
        {link && (
          <a class="button" href={link} target="_blank" rel="noopener" title="Open what this chart asks in GraphiQL">
            Query
          </a>
        )}
      </div>
    </header>
  );
}

effect(() => {
  const { quote } = quoteOf(symbol.value).value;
  document.title = quote
    ? `${symbol} ${price(quote.price)} ${percent(quote.changePercent)} · SmartFin`
    : `${symbol} · SmartFin`;
});
