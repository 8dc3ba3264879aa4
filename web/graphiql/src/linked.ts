// The document that the address carries behind its #, where no server sees it: #query=…&variables=…
const linked = new URLSearchParams(location.hash.slice(1));

export const tab = linked.has("query")
  ? { query: linked.get("query")!, variables: linked.get("variables") ?? "" }
  : undefined;
