// Watches one symbol with npm `graphql-ws`, and prints a line for all that happens.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const client = createClient({
  url: process.argv[2],
  webSocketImpl: WebSocket,
  retryAttempts: 100,
  shouldRetry: () => true, // also when nobody listens yet
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 200)),
  on: {
    connected: () => console.log('connected'),
    closed: (event) => console.log('closed', event.code),
  },
});

client.subscribe(
  { query: 'subscription { quotes(symbols: ["AAPL"]) { symbol price } }' },
  {
    next: (result) => console.log('next', JSON.stringify(result.data ?? result.errors)),
    error: (error) => console.log('error', error.code ?? JSON.stringify(error)),
    complete: () => console.log('complete'),
  },
);
