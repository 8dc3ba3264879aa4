import { defineConfig } from "vite";

export default defineConfig({
  base: "/assets/graphiql/",
  resolve: {
    // Smaller stand-ins for what GraphiQL and its editor would bring along; each says why.
    alias: {
      "monaco-editor/esm/vs/editor/edcore.main.js": "/src/monaco.ts",
      "prettier/parser-babel": "/src/jsonc.ts",
      "prettier/plugins/estree": "/src/jsonc.ts",
    },
  },
  build: {
    outDir: "../dist/graphiql",
    emptyOutDir: true,
    // Straight under the base, each with a hash of its content in its name, so that it may be cached for ever.
    assetsDir: "",
    assetsInlineLimit: 0,
    target: "es2023",
    // Every browser of that target preloads modules by itself.
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.md" },
    chunkSizeWarningLimit: 2000,
    // "use client" means nothing here; hundreds of modules of the dependencies say it.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
  worker: { format: "es" },
});
