// What a browser's first visit finds open, a tab each.
import chart from "./chart.graphql?raw";
import live from "./live.graphql?raw";
import quotes from "./quotes.graphql?raw";

export const tabs = [quotes, chart, live].map((query) => ({ query }));
