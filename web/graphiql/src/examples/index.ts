// What a browser's first visit finds open, a tab each.
import catalog from "./catalog.graphql?raw";
import chartLive from "./chart-live.graphql?raw";
import chart from "./chart.graphql?raw";
import market from "./market.graphql?raw";
import marketLive from "./market-live.graphql?raw";
import quotesLive from "./quotes-live.graphql?raw";
import quotes from "./quotes.graphql?raw";
import search from "./search.graphql?raw";

const examples = [quotes, quotesLive, chart, chartLive, search, market, marketLive, catalog];

export const tabs = examples.map((query) => ({ query }));
