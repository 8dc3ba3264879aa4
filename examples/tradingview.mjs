// A datafeed for TradingView's Charting Library over GraphQL: bars by HTTP, moves by WebSocket.
//
// `new TradingView.widget({ datafeed: datafeed("http://127.0.0.1:8000/graphql"), symbol: "AAPL", … })`. Where no moves
// are needed, the library's own UDF adapter on /udf does, with nothing to write.
import { createClient } from "graphql-ws";

const INTERVALS = { 1: "M1", 5: "M5", 15: "M15", 30: "M30", 60: "H1", 240: "H4", "1D": "D1", "1W": "W1", "1M": "MN1" };
const BARS = "columns { epoch open high low close volume }";

/** `socket`: options of graphql-ws, such as `connectionParams` with a token, or `webSocketImpl` outside of browsers. */
export function datafeed(url, socket = {}) {
  const client = createClient({ url: url.replace(/^http/, "ws"), retryAttempts: Infinity, ...socket });
  const stops = new Map();

  async function ask(query, variables) {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await response.json();
    if (errors) throw new Error(errors[0].message);
    return data;
  }

  return {
    onReady: (ready) => setTimeout(ready, 0, { supported_resolutions: Object.keys(INTERVALS) }),

    searchSymbols(text, exchange, type, found) {
      const query = `query Search($text: String!) {
        assets(search: $text, first: 30) { edges { node { symbol name type exchange } } }
      }`;
      ask(query, { text }).then(
        ({ assets }) => found(assets.edges.map(({ node }) => ({ ...node, description: node.name, ticker: node.symbol }))),
        () => found([]),
      );
    },

    resolveSymbol(symbol, resolved, failed) {
      const query = `query Resolve($symbol: Symbol!) {
        asset(symbol: $symbol) { symbol name type exchange currency timezone tickSize }
      }`;
      ask(query, { symbol }).then(({ asset }) => {
        resolved({
          name: asset.symbol,
          ticker: asset.symbol,
          description: asset.name,
          type: asset.type.toLowerCase(),
          exchange: asset.exchange ?? "",
          listed_exchange: asset.exchange ?? "",
          currency_code: asset.currency,
          timezone: asset.timezone ?? "Etc/UTC",
          session: "24x7",
          format: "price",
          minmov: 1,
          pricescale: Math.round(1 / (asset.tickSize ?? 0.01)),
          has_intraday: true,
          has_weekly_and_monthly: true,
          supported_resolutions: Object.keys(INTERVALS),
        });
      }, (error) => failed(error.message));
    },

    getBars({ ticker }, resolution, { to, countBack }, loaded, failed) {
      const query = `query Bars($symbol: Symbol!, $interval: Interval!, $to: DateTime!, $last: Int!) {
        history(symbol: $symbol, interval: $interval, to: $to, last: $last) { ${BARS} }
      }`;
      const variables = { symbol: ticker, interval: INTERVALS[resolution], last: Math.min(countBack, 5000) };
      ask(query, { ...variables, to: new Date(to * 1000).toISOString() }).then(({ history }) => {
        const bars = rows(history.columns);
        loaded(bars, { noData: bars.length === 0 });
      }, (error) => failed(error.message));
    },

    subscribeBars({ ticker }, resolution, moved, id, resetCache) {
      const query = `subscription Moves($symbol: Symbol!, $interval: Interval!) {
        history(symbol: $symbol, interval: $interval, last: 2) { ${BARS} }
      }`;
      let newest = 0;
      const sink = {
        next({ data, errors }) {
          for (const error of errors ?? []) console.error(error.message);
          const bars = data?.history ? rows(data.history.columns) : [];
          // Bars between went by unseen, in an outage: the chart reads them anew.
          if (newest && bars[0]?.time > newest) resetCache();
          for (const bar of bars) if (bar.time >= newest) moved(bar);
          newest = bars.at(-1)?.time ?? newest;
        },
        error: (error) => console.error(error),
        complete() {},
      };
      stops.set(id, client.subscribe({ query, variables: { symbol: ticker, interval: INTERVALS[resolution] } }, sink));
    },

    unsubscribeBars(id) {
      stops.get(id)?.();
      stops.delete(id);
    },
  };
}

function rows({ epoch, open, high, low, close, volume }) {
  return epoch.map((second, place) => ({
    time: second * 1000,
    open: open[place],
    high: high[place],
    low: low[place],
    close: close[place],
    volume: volume[place] ?? undefined,
  }));
}
