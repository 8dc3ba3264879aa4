// Apollo Client against the server at argv[2]: a persisted query twice, and a subscription; prints what travels and comes.
import { createHash } from "node:crypto";

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import { take } from "rxjs";
import WebSocket from "ws";

import { HISTORY, QUOTES, tellingFetch } from "./asked.js";

const uri = process.argv[2]!;
const socket = createClient({ url: uri.replace("http", "ws"), webSocketImpl: WebSocket });
const persisted = new PersistedQueryLink({
  sha256: (text) => createHash("sha256").update(text).digest("hex"),
  useGETForHashedQueries: true,
}).concat(new HttpLink({ uri, fetch: tellingFetch }));

const client = new ApolloClient({
  link: ApolloLink.split(({ operationType }) => operationType === "subscription", new GraphQLWsLink(socket), persisted),
  cache: new InMemoryCache(),
});

for (const fetchPolicy of ["cache-first", "cache-first", "network-only"] as const) {
  const { data } = await client.query({ query: HISTORY, variables: { symbol: "AAPL" }, fetchPolicy });
  console.log(JSON.stringify(data?.history?.bars.map(({ close }) => close)), JSON.stringify(data?.history?.indicators.sma));
}

const watched = client.subscribe({ query: QUOTES, variables: { symbol: "AAPL" } }).pipe(take(3));
await watched.forEach(({ data }) => console.log(data?.quotes.symbol, Number(data?.quotes.price) > 0));
client.stop();
await socket.dispose();
