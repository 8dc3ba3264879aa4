// graphql-ws against the server at argv[2]: it connects when something is asked, and comes back with a new token.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, ...tokens] = process.argv.slice(2);
const client = createClient({
  url: url!.replace("http", "ws"),
  webSocketImpl: WebSocket,
  retryWait: async () => {},
  connectionParams: () => ({ authorization: `Bearer ${tokens.shift()}` }),
  on: {
    connecting: () => console.log("connecting"),
    connected: () => console.log("connected"),
    closed: (event) => console.log("closed", (event as CloseEvent).code),
  },
});

console.log("asking");
for await (const { data } of client.iterate({ query: "{ me { tier } }" })) console.log(JSON.stringify(data));
