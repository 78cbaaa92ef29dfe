/**
 * What the page, its Python frame and the frame's workers say to each other.
 *
 * The page speaks with the frame over a port of its own, so nobody else is heard. What comes from
 * a worker may have been sent by the program that runs there: it is read as text and bounded.
 */

/** Pyodide's files by name; the page fetches them, for the frame has no network. */
export type PythonFiles = Record<string, ArrayBuffer>;

export type StreamName = 'stdout' | 'stderr';

/** Page → frame. */
export type ToFrame =
  | { type: 'start'; files: PythonFiles }
  | { type: 'run'; id: number; code: string }
  | { type: 'stop'; id: number };

/** What a program sends while it runs. */
export type Output =
  | { type: 'output'; stream: StreamName; text: string }
  /** A data: URL. */
  | { type: 'picture'; url: string };

/** Worker → frame. `result` is `{ok, value}` as JSON text. */
export type FromWorker =
  /** It listens now. */
  | { type: 'loaded' }
  /** Python is there. */
  | { type: 'ready' }
  | Output
  | { type: 'done'; result: string }
  | { type: 'failed'; message: string };

/** Frame → page. */
export type FromFrame =
  | { type: 'ready' }
  | { type: 'failed'; message: string }
  | { type: 'running'; id: number }
  | { type: 'outputs'; id: number; outputs: Output[] }
  | { type: 'done'; id: number; result: string }
  | { type: 'broken'; id: number; message: string };

/** Frame → worker, once, before any code. */
export interface WorkerStart {
  module: WebAssembly.Module;
  /** The addresses of Pyodide's scripts: blobs of the frame. */
  loader: string;
  glue: string;
  stdlib: ArrayBuffer;
  lock: string;
}

/** Most characters of each of stdout and stderr that are kept. */
export const MOST_OUTPUT = 1_000_000;
export const MOST_PICTURES = 20;
/** Most characters of a picture's data: URL; an event of the server's takes 4 MiB. */
export const MOST_PICTURE = 4_000_000;
export const CUT = '\n[The output is longer than 1 MB; the rest is not shown.]\n';
export const PICTURE = /^data:image\/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]+$/;
