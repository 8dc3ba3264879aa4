// What the code generator wrote down, on a server that serves nothing else: named by id, by urql by hash, and as text.
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

import { HISTORY, tellingFetch } from "./asked.js";

const url = process.argv[2]!;
const documentId: string = Object(HISTORY).__meta__.documentId;
const variables = { symbol: "AAPL" };

const response = await tellingFetch(url, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ documentId, variables }),
});
console.log(JSON.stringify(await response.json()));

const named = persistedExchange({
  enforcePersistedQueries: true,
  generateHash: async (_, document) => Object(document).__meta__?.documentId.replace("sha256:", ""),
});
const client = new Client({ url, fetch: tellingFetch, exchanges: [named, fetchExchange] });
const { data } = await client.query(HISTORY, variables);
console.log(JSON.stringify(data?.history?.bars.map(({ close }) => close)));

const { error } = await client.query("{ __typename }", {});
console.log(error?.graphQLErrors[0]?.extensions.code);
