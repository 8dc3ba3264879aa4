// urql against the server at argv[2]: a persisted query twice, and a subscription; prints what travels and comes.
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { HISTORY, QUOTES, tellingFetch } from "./asked.js";

const url = process.argv[2]!;
const socket = createClient({ url: url.replace("http", "ws"), webSocketImpl: WebSocket });
const client = new Client({
  url,
  fetch: tellingFetch,
  exchanges: [
    cacheExchange,
    persistedExchange({ preferGetForPersistedQueries: true }),
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query: query!, variables }, sink) }),
      }),
    }),
  ],
});

for (const requestPolicy of ["cache-first", "cache-first", "network-only"] as const) {
  const { data, error } = await client.query(HISTORY, { symbol: "AAPL" }, { requestPolicy });
  if (error) throw error;
  console.log(JSON.stringify(data?.history?.bars.map(({ close }) => close)), JSON.stringify(data?.history?.indicators.sma));
}

let left = 3;
await new Promise<void>((resolve) => {
  const { unsubscribe } = client.subscription(QUOTES, { symbol: "AAPL" }).subscribe(({ data }) => {
    console.log(data?.quotes.symbol, Number(data?.quotes.price) > 0);
    left -= 1;
    if (left > 0) return;
    unsubscribe();
    resolve();
  });
});
await socket.dispose();
