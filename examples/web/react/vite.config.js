import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// In a project of your own: a copy of that folder. It has no dependencies.
const mavis = fileURLToPath(new URL("../../../server/playground/static/lib/mavis.js", import.meta.url));

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { mavis } },
  server: {
    fs: { allow: ["../../.."] },
    proxy: { "/v1": process.env.MAVIS_URL ?? "http://127.0.0.1:8000" }, // one origin, so no CORS
  },
});
