// What a chart of TradingView does with the datafeed of examples/, at the server of argv[2]; prints what it gets.
import WebSocket from "ws";

import { datafeed } from "../../examples/tradingview.mjs";

const feed = datafeed(process.argv[2], { webSocketImpl: WebSocket });
const called = (method, ...given) =>
  new Promise((resolve, reject) => feed[method](...given, resolve, (reason) => reject(new Error(reason))));

console.log((await called("onReady")).supported_resolutions.join(" "));
console.log((await called("searchSymbols", "AAPL", "", ""))[0].ticker);
const symbol = await called("resolveSymbol", "AAPL");
console.log(symbol.ticker, symbol.currency_code, symbol.pricescale);
const bars = await called("getBars", symbol, "1D", { to: Date.UTC(2024, 0, 5) / 1000, countBack: 3 });
console.log(bars.map(({ time, close }) => `${time / 1000} ${close}`).join(", "));
console.log(await called("resolveSymbol", "NOSUCH").catch((error) => error.message));

const [first, second] = await new Promise((resolve) => {
  const moves = [];
  feed.subscribeBars(symbol, "1", (bar) => moves.push(bar) >= 3 && resolve(moves.slice(1)), "chart", () => {});
});
feed.unsubscribeBars("chart");
console.log(second.time >= first.time);
process.exit();
