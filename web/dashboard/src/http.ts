// One operation by POST: what must not happen twice, which a socket that begins anew would ask again.
import { type Fault, payload, type Result, type Text } from "./operation";

/** A result, and when it was given by the server's clock, in milliseconds since 1970. */
export type Posted<Data> = Result<Data> & { at: number };

/** The answer for whoever the `authorization` stands for, a guest where it is null. Fails where there is none. */
export async function post<Data, Variables extends Record<string, unknown>>(
  document: Text<Data, Variables>,
  variables: Variables,
  authorization: string | null = null,
): Promise<Posted<Data>> {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json",
      ...(authorization && { authorization }),
    },
    body: JSON.stringify(payload(document, variables)),
  }).catch(() => Promise.reject(new Error("The server cannot be reached.")));
  if (!response.headers.get("content-type")?.includes("json"))
    throw new Error(`The server answered ${response.status} ${response.statusText}`.trimEnd() + ".");
  const body: { data?: Data; errors?: readonly Fault[] } = await response.json();
  const at = Date.parse(response.headers.get("date") ?? "") || Date.now();
  return { data: body.data ?? null, errors: body.errors ?? [], at };
}
