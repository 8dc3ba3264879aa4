// The types of what the page asks and is answered, from the server's own schema; the build writes them to src/graphql.
import type { CodegenConfig } from "@graphql-codegen/cli";

export default {
  schema: "../../schema.graphql",
  documents: ["src/**/*.{ts,tsx}", "!src/graphql/**"],
  generates: {
    "src/graphql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        // Documents travel as text: the page needs no parser of GraphQL.
        documentMode: "string",
        useTypeImports: true,
        enumsAsTypes: true,
        onlyOperationTypes: true,
        strictScalars: true,
        scalars: { Date: "string", DateTime: "string", Symbol: "string", Timestamp: "number" },
      },
    },
  },
  silent: true,
} satisfies CodegenConfig;
