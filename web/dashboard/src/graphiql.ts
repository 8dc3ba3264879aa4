// GraphiQL with what this page asks.

/** The address under which GraphiQL opens with this document; after the # it goes to no server. */
export function graphiqlLink(query: string, variables: object): string {
  return `/graphql#${new URLSearchParams({ query, variables: JSON.stringify(variables, null, 2) })}`;
}
