// Puts Pyodide's files beside the page, under `pyodide/<version>/`, and tells the page about them.
//
// `virtual:pyodide` exports `version` and `files` (name → bytes). The lock file is written without
// its packages: none are there, and none are fetched from elsewhere.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Plugin } from 'vite';

const FOLDER = dirname(createRequire(import.meta.url).resolve('pyodide/package.json'));
const LOCK = 'pyodide-lock.json';
const NAMES = [
  'pyodide.mjs',
  'pyodide.asm.mjs',
  'pyodide.asm.wasm',
  'python_stdlib.zip',
  LOCK,
] as const;
const VIRTUAL = 'virtual:pyodide';
const TYPES: Record<string, string> = { mjs: 'text/javascript', wasm: 'application/wasm' };

function read(name: string): Uint8Array {
  const bytes = readFileSync(join(FOLDER, name));
  if (name !== LOCK) return bytes;
  const lock = JSON.parse(bytes.toString()) as Record<string, unknown>;
  return Buffer.from(JSON.stringify({ ...lock, packages: {} }));
}

/** The Vite plugin. */
export function pyodide(): Plugin {
  const { version } = JSON.parse(readFileSync(join(FOLDER, 'package.json'), 'utf8')) as {
    version: string;
  };
  const place = (name: string) => `pyodide/${version}/${name}`;
  return {
    name: 'heliograph-pyodide',
    resolveId: (id) => (id === VIRTUAL ? `\0${VIRTUAL}` : null),
    load(id) {
      if (id !== `\0${VIRTUAL}`) return null;
      const files = Object.fromEntries(NAMES.map((name) => [name, read(name).byteLength]));
      return `export const version = ${JSON.stringify(version)};
export const files = ${JSON.stringify(files)};`;
    },
    generateBundle() {
      for (const name of NAMES) {
        this.emitFile({ type: 'asset', fileName: place(name), source: read(name) });
      }
    },
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const name = NAMES.find((each) => request.url === `/${place(each)}`);
        if (!name) {
          next();
          return;
        }
        const type = TYPES[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
        response.setHeader('Content-Type', type);
        response.end(read(name));
      });
    },
  };
}
