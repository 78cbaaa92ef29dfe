// Writes a `.br` and a `.gz` beside each file worth it, so that the server only picks one.

import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Plugin } from 'vite';

const COMPRESSIBLE = new Set(['.css', '.html', '.js', '.json', '.mjs', '.svg', '.wasm', '.txt']);
const LEAST_BYTES = 1024;
const LARGE_BYTES = 1024 * 1024; // above it the best brotli level takes many seconds

const brotli = promisify(brotliCompress);
const gzipped = promisify(gzip);

async function compressFile(file: string): Promise<void> {
  const { size } = await stat(file);
  if (!COMPRESSIBLE.has(extname(file)) || size < LEAST_BYTES) return;
  const bytes = await readFile(file);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: size > LARGE_BYTES ? 6 : 11,
    [constants.BROTLI_PARAM_SIZE_HINT]: size,
  };
  await writeFile(`${file}.br`, await brotli(bytes, { params }));
  await writeFile(`${file}.gz`, await gzipped(bytes, { level: 9 }));
}

/** The Vite plugin; runs when everything else has been written. */
export function compress(): Plugin {
  let folder = '';
  return {
    name: 'heliograph-compress',
    apply: 'build',
    enforce: 'post',
    configResolved(config) {
      folder = config.build.outDir;
    },
    closeBundle: {
      order: 'post',
      sequential: true,
      async handler() {
        for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
          if (entry.isFile()) await compressFile(join(entry.parentPath, entry.name));
        }
      },
    },
  };
}
