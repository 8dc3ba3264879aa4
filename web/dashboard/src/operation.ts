// Operations as they travel, and what they give.
import type { TypedDocumentString } from "./graphql/graphql";

/** What an operation gave: its data, and the faults of its parts. */
export type Result<Data> = { data: Data | null; errors: readonly Fault[] };
export type Fault = { message: string; path?: readonly (string | number)[]; extensions?: Record<string, unknown> };

export type Text<Data, Variables> = TypedDocumentString<Data, Variables> | UntypedText<Data, Variables>;
/** A document that is made while the page runs; who makes it says what it gives. */
export type UntypedText<Data, Variables> = {
  toString(): string;
  operationName: string;
  __apiType?: (v: Variables) => Data;
};

export function payload(document: { toString(): string; operationName?: string }, variables: Record<string, unknown>) {
  return { query: document.toString(), variables, operationName: document.operationName };
}

/** The `extensions.code` of what went wrong. */
export const codeOf = ({ extensions }: Fault) => String(extensions?.code ?? "");
