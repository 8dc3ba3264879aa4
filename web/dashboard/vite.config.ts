import { defineConfig } from "vite";

export default defineConfig({
  base: "/assets/dashboard/",
  build: {
    outDir: "../dist/dashboard",
    emptyOutDir: true,
    // Straight under the base, each with a hash of its content in its name, so that it may be cached for ever.
    assetsDir: "",
    assetsInlineLimit: 0,
    target: "es2024",
    // Every browser of that target preloads modules by itself.
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.md" },
  },
  // `npm run dev` shows the page from its source, on the data of a server that runs.
  server: { proxy: { "/graphql": { target: "http://127.0.0.1:8000", ws: true, changeOrigin: true } } },
});
