import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { facts } from "../chart/feed";
import { symbol } from "../chart/choice";
import { ask } from "../connection";
import { graphql } from "../graphql";
import type { SourcesQuery } from "../graphql/graphql";
import { duration, moment } from "../numbers";
import { quoteOf } from "../watchlist/quotes";

const SOURCES = graphql(`
  query Sources($symbol: Symbol!) {
    sources {
      name
      displayName
      breaker
      successRate
      averageResponseMs
      errorCount
      lastErrorAt
      lastError
      quotas {
        window
        limit
        used
        resetsAt
      }
    }
    route(symbol: $symbol, capability: QUOTES) {
      source
      wouldAsk
      reason
    }
  }
`);

const EVERY_MS = 10_000;

const told = signal<SourcesQuery | null>(null);
const fault = signal<string | null>(null);

async function look(): Promise<void> {
  if (document.hidden) return;
  try {
    const { data, errors } = await ask(SOURCES, { symbol: symbol.peek() });
    told.value = data ?? told.value;
    fault.value = errors[0]?.message ?? null;
  } catch (cause) {
    fault.value = (cause as Error).message;
  }
}

/** Where data comes from: how each source does, what is left of its quotas, and which one answers for what is charted. */
export function Sources() {
  useEffect(() => {
    void look();
    const timer = setInterval(() => void look(), EVERY_MS);
    return () => clearInterval(timer);
  }, [symbol.value]);
  return (
    <section class="panel sources" aria-labelledby="sources">
      <header>
        <h2 id="sources">Sources</h2>
      </header>
      {fault.value && (
        <p class="fault" role="alert">
          {fault}
        </p>
      )}
      {told.value?.sources.length === 0 && <p class="hint">None is in use: what was imported is all there is.</p>}
      <ul>
        {told.value?.sources.map((source) => (
          <Item key={source.name} source={source} />
        ))}
      </ul>
    </section>
  );
}

type Source = SourcesQuery["sources"][number];

const BREAKERS = { CLOSED: "well", HALF_OPEN: "being tried again", OPEN: "left out after failures" };

function Item({ source }: { source: Source }) {
  const { name, displayName, breaker, successRate, averageResponseMs, lastErrorAt, lastError, quotas } = source;
  const step = told.value?.route.find((each) => each.source === name);
  return (
    <li>
      <p>
        <span class={`breaker ${breaker.toLowerCase()}`} aria-hidden="true" /> <b>{displayName}</b>{" "}
        <span class="origin">{BREAKERS[breaker]}</span>
        <Answers name={name} />
      </p>
      <p class="origin">
        {successRate.toFixed(1)}% answered
        {averageResponseMs != null && ` · ${Math.round(averageResponseMs)} ms`}
        {step && !step.wouldAsk && ` · not asked for ${symbol}: ${step.reason}`}
      </p>
      {quotas.map((quota) => (
        <label key={quota.window} class="quota origin">
          <span>
            {quota.used} of {quota.limit} a {quota.window}, anew {moment(quota.resetsAt)}
          </span>
          <meter min={0} max={quota.limit} high={0.8 * quota.limit} optimum={0} value={quota.used} />
        </label>
      ))}
      {lastErrorAt && (
        <p class="origin" title={lastError ?? undefined}>
          {duration((Date.now() - Date.parse(lastErrorAt)) / 1000)} ago: {lastError}
        </p>
      )}
    </li>
  );
}

/** What the source gives the chart at present. */
function Answers({ name }: { name: string }) {
  const gives = [
    quoteOf(symbol.value).value.quote?.provenance.source === name && "quotes",
    facts.value?.provenance.source === name && "bars",
  ].filter(Boolean);
  return gives.length > 0 ? <span class="badge">{`${gives.join(", ")} of ${symbol.value}`}</span> : null;
}
