// The types of the whole schema, and of what the clients here ask; the build writes them to src/generated.
import type { CodegenConfig } from "@graphql-codegen/cli";

const config = {
  strictScalars: true,
  scalars: { Date: "string", DateTime: "string", Symbol: "string", Timestamp: "number" },
  enumsAsTypes: true,
  useTypeImports: true,
};

export default {
  schema: "../../schema.graphql",
  documents: ["src/*.ts"],
  generates: {
    "src/generated/schema.ts": { plugins: ["typescript"], config },
    // The preset writes persisted-documents.json, too, which `smartfin documents` publishes.
    "src/generated/": {
      preset: "client",
      presetConfig: {
        fragmentMasking: false,
        persistedDocuments: { hashPropertyName: "documentId", hashAlgorithm: "sha256" },
      },
      config,
    },
  },
  importExtension: ".js",
  silent: true,
} satisfies CodegenConfig;
