// How operations reach the server: subscriptions over graphql-transport-ws, all others by POST.
import type { Fetcher, FetcherParams, Observable } from "@graphiql/toolkit";
import { getOperationAST, type ExecutionResult } from "graphql";
import { createClient, type Sink } from "graphql-ws";

type HeaderValues = Record<string, string>;

const httpUrl = new URL("/graphql", location.href);
const wsUrl = new URL(httpUrl);
wsUrl.protocol = wsUrl.protocol.replace("http", "ws");

export const fetcher: Fetcher = (params, { headers = {}, documentAST } = {}) => {
  const operation = documentAST && getOperationAST(documentAST, params.operationName);
  if (operation?.operation === "subscription") return subscription(params, headers);
  return answer(params, headers).catch((cause) => Promise.reject(explained(cause)));
};

async function answer(params: FetcherParams, typed: HeaderValues): Promise<ExecutionResult> {
  const headers = new Headers({
    accept: "application/graphql-response+json, application/json",
    "content-type": "application/json",
  });
  for (const [name, value] of Object.entries(typed)) headers.set(name, value);

  const response = await fetch(httpUrl, { method: "POST", headers, body: JSON.stringify(params) });
  const body = await response.text();
  if (!response.headers.get("content-type")?.includes("json")) {
    // A proxy's page rather than the server's answer.
    throw new Error(`HTTP ${response.status} ${response.statusText}: ${body}`);
  }
  return JSON.parse(body);
}

/** One socket a subscription, as connection_init carries the headers of its moment; no silent retries: show what happened. */
function subscription(params: FetcherParams, headers: HeaderValues): Observable<ExecutionResult> {
  const client = createClient({ url: wsUrl.href, connectionParams: headers, retryAttempts: 0 });
  const subscribe = (sink: Sink<ExecutionResult>) => ({
    unsubscribe: client.subscribe(params, { ...sink, error: (cause) => sink.error(explained(cause)) }),
  });
  // Of the three forms of Observable.subscribe, GraphiQL calls this one alone.
  return { subscribe } as Observable<ExecutionResult>;
}

/** What GraphiQL is to print: the server's errors as they came, any other failure in words, without a stack. */
function explained(cause: unknown): unknown {
  if (cause instanceof CloseEvent) return { message: `The socket was closed: ${cause.code} ${cause.reason}`.trimEnd() };
  if (cause instanceof Event) return { message: `No WebSocket at ${wsUrl}` };
  if (cause instanceof Error) return { message: cause.message };
  return cause;
}
