import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defaultAllowedOrigins } from 'vite';
import { defineConfig } from 'vitest/config';
import { compress } from './build/compress.ts';
import { pyodide } from './build/pyodide.ts';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

// The server of `make run`, for `npm run dev`.
const backend = process.env['HELIOGRAPH_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte(), pyodide(), compress()],
  resolve: {
    alias: {
      $lib: path('./src/lib'),
      $state: path('./src/state'),
      $features: path('./src/features'),
    },
  },
  build: {
    outDir: '../heliograph/static',
    emptyOutDir: true,
    assetsInlineLimit: 0, // the policy of the page allows no data: fonts
    target: 'es2023',
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600, // the editor, which loads when a note is opened
    rolldownOptions: {
      input: {
        index: path('./index.html'),
        frame: path('./frame.html'), // embeds, and
        python: path('./python.html'), // Python: documents with origins of their own
      },
    },
  },
  worker: {
    format: 'es',
  },
  server: {
    // Frames with an opaque origin load scripts of ours, as they do from the real server.
    cors: { origin: [defaultAllowedOrigins, 'null'] },
    proxy: {
      '/api': backend,
      '/ws': { target: backend, ws: true },
    },
  },
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/server.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    fileParallelism: true,
    maxWorkers: 2,
  },
});
