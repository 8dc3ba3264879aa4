import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { ask, viewer } from "../connection";
import { graphql } from "../graphql";
import type { BudgetQuery } from "../graphql/graphql";
import { moment, whole } from "../numbers";

const BUDGET = graphql(`
  query Budget {
    me {
      tier
    }
    rateLimit {
      limit
      remaining
      resetsAt
    }
  }
`);

const EVERY_MS = 5_000;

const told = signal<BudgetQuery | null>(null);
const fault = signal<string | null>(null);

async function look(): Promise<void> {
  try {
    const { data, errors } = await ask(BUDGET, {});
    told.value = data ?? told.value;
    fault.value = errors[0]?.message ?? null;
  } catch (cause) {
    fault.value = (cause as Error).message;
  }
}

/** The tier of who asks, and what is left of the budget of this minute. */
export function Budget() {
  useEffect(() => {
    void look();
    const timer = setInterval(() => void look(), EVERY_MS);
    return () => clearInterval(timer);
  }, [viewer.value]);
  if (!told.value) return <p class={fault.value ? "fault" : "hint"}>{fault.value ?? "Asking for the budget…"}</p>;
  const { me, rateLimit } = told.value;
  return (
    <dl class="budget">
      <dt>Tier</dt>
      <dd>{(me?.tier ?? "GUEST").toLowerCase()}</dd>
      <dt>Budget</dt>
      <dd>
        {rateLimit ? (
          <label>
            {whole(rateLimit.remaining)} of {whole(rateLimit.limit)} left, all again at {moment(rateLimit.resetsAt)}
            <meter min={0} max={rateLimit.limit} low={0.2 * rateLimit.limit} value={rateLimit.remaining} />
          </label>
        ) : (
          "unlimited"
        )}
      </dd>
      {fault.value && <dd class="fault">{fault}</dd>}
    </dl>
  );
}
