// What the clients ask, and a fetch that tells what travelled.
import { graphql } from "./generated/gql.js";

export const HISTORY = graphql(`
  query JanuaryHistory($symbol: Symbol!) {
    history(symbol: $symbol, interval: D1, from: "2024-01-02", to: "2024-01-05") {
      symbol
      bars {
        time
        close
      }
      indicators {
        sma(period: 20)
      }
    }
  }
`);

export const QUOTES = graphql(`
  subscription LiveQuotes($symbol: Symbol!) {
    quotes(symbols: [$symbol]) {
      symbol
      price
      time
    }
  }
`);

/** As `fetch`, and a line for each answer: the method, whether text, hash or id named the document, and the status. */
export const tellingFetch: typeof fetch = async (input, init) => {
  const url = new URL(String(input));
  const sent = url.search ? Object.fromEntries(url.searchParams) : JSON.parse(String(init?.body));
  const named = Object.entries({ text: sent.query, hash: sent.extensions, id: sent.documentId });
  const response = await fetch(input, init);
  const names = named.filter(([, value]) => value).map(([name]) => name);
  console.log(init?.method ?? "GET", names.join("+"), response.status);
  return response;
};
