// Follows a chart from Node: its newest bars at once, then every move of the forming one, with an indicator.
//
//     npm ci
//     node watch.mjs ws://127.0.0.1:8000/graphql AAPL
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url = "ws://127.0.0.1:8000/graphql", symbol = "AAPL"] = process.argv.slice(2);

// After a restart of the server, or a lost network, it connects and subscribes again, as often as it takes.
const client = createClient({ url, webSocketImpl: WebSocket, retryAttempts: Infinity, shouldRetry: () => true });

const chart = client.iterate({
  query: `subscription Chart($symbol: Symbol!) {
    history(symbol: $symbol, interval: M1, last: 2) {
      bars { time close isFinal }
      indicators { ema(period: 20) }
    }
  }`,
  variables: { symbol },
});

for await (const { data, errors } of chart) {
  for (const error of errors ?? []) console.error(error.extensions.code, error.message);
  data?.history?.bars.forEach(({ time, close, isFinal }, place) =>
    console.log(time, close, data.history.indicators.ema[place], isFinal ? "final" : "forming"),
  );
}
