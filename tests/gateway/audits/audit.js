// The audits of GraphQL over HTTP against the server at argv[2]: a line for each that is not passed, then the counts.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
const missed = results.filter((result) => result.status !== "ok");
for (const { id, name, reason } of missed) console.log(`${id} ${name}: ${reason}`);
console.log(`audits: ${results.length - missed.length} passed, ${missed.length} failed`);
process.exitCode = missed.length ? 1 : 0;
