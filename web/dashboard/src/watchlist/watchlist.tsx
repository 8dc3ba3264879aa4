import { quotesFault } from "./quotes";
import { Row } from "./row";
import { symbols } from "./symbols";

export function Watchlist() {
  return (
    <section class="panel watchlist" aria-labelledby="watchlist">
      <header>
        <h2 id="watchlist">Watchlist</h2>
      </header>
      {quotesFault.value && (
        <p class="fault" role="alert">
          {quotesFault}
        </p>
      )}
      {symbols.value.length === 0 && <p class="hint">Nothing is watched. Search above to add a symbol.</p>}
      <ol>
        {symbols.value.map((symbol, place) => (
          <Row key={symbol} symbol={symbol} place={place} />
        ))}
      </ol>
    </section>
  );
}
