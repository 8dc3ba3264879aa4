// What is known of the charted asset, and whether its market is open.
import { effect, signal } from "@preact/signals";

import { askOn, watch } from "../connection";
import { graphql } from "../graphql";
import type { ChartedAssetQuery, MarketStateSubscription } from "../graphql/graphql";
import { symbol } from "./choice";

const CHARTED_ASSET = graphql(`
  query ChartedAsset($symbol: Symbol!) {
    asset(symbol: $symbol) {
      symbol
      name
      type
      exchange
      currency
      tickSize
      market {
        code
      }
    }
  }
`);

const MARKET_STATE = graphql(`
  subscription MarketState($code: String!) {
    market(code: $code) {
      name
      phase
      closesAt
      nextOpen
      isHoliday
    }
  }
`);

export const asset = signal<ChartedAssetQuery["asset"]>(null);

/** The market of the asset; null where it has none, or until it has told. */
export const market = signal<MarketStateSubscription["market"] | null>(null);

effect(() => {
  const wanted = symbol.value;
  let stop: (() => void) | undefined;
  let ended = false;
  asset.value = null;
  market.value = null;
  // The chart says what is wrong with a symbol; here it has no name, then, and no market.
  void askOn(
    CHARTED_ASSET,
    { symbol: wanted },
    () => !ended,
    () => {},
  ).then(
    ({ data }) => {
      if (ended || !data?.asset) return;
      asset.value = data.asset;
      const code = data.asset.market?.code;
      if (code)
        stop = watch(
          MARKET_STATE,
          { code },
          ({ data }) => (market.value = data?.market ?? market.value),
          () => {},
        );
    },
    () => {},
  );
  return () => {
    ended = true;
    stop?.();
  };
});
