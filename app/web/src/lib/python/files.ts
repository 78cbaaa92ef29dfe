/** Pyodide's files, fetched by the page: a frame with an opaque origin has no HTTP cache. */

import { files, version } from 'virtual:pyodide';
import type { PythonFiles } from './protocol';

/** Bytes of all files together, uncompressed. */
export const TOTAL_BYTES = Object.values(files).reduce((sum, bytes) => sum + bytes, 0);

/**
 * @param onprogress told how many bytes have come
 * @throws a sentence when one cannot be had
 */
export async function loadFiles(onprogress: (bytes: number) => void): Promise<PythonFiles> {
  let come = 0;
  const loaded = await Promise.all(
    Object.keys(files).map(async (name) => {
      const response = await fetch(`/pyodide/${version}/${name}`).catch(() => null);
      if (!response?.ok || !response.body) {
        throw new Error('Python could not be loaded from the server.');
      }
      const pieces: BlobPart[] = [];
      for await (const piece of response.body) {
        pieces.push(piece as BlobPart);
        come += piece.byteLength;
        onprogress(come);
      }
      return [name, await new Blob(pieces).arrayBuffer()] as const;
    }),
  );
  return Object.fromEntries(loaded);
}
