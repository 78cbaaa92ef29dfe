/**
 * What python.html runs: a frame with an origin of its own, in which workers run Python.
 *
 * The page hands over a port and Pyodide's files. The WebAssembly is compiled once; each program
 * gets a fresh worker. After the first one the next worker is got ready beforehand, for a while.
 */

import type { FromFrame, FromWorker, Output, ToFrame, WorkerStart } from './protocol';
import workerUrl from './worker.ts?worker&url';

const SPARE_MS = 120_000; // how long a worker waits for a program; each takes some 60 MB
const GATHER_MS = 40;

/** A worker, from being loaded to the end of its program. */
interface Python {
  worker: Worker;
  ready: Promise<void>;
}

let port: MessagePort | null = null;
let start: WorkerStart | null = null;
let spare: Python | null = null;
let spareTimer: ReturnType<typeof setTimeout> | undefined;
const running = new Map<number, Worker>();

addEventListener('message', (event) => {
  if (event.source !== parent || port || !event.ports[0]) return;
  port = event.ports[0];
  port.onmessage = ({ data }: MessageEvent<ToFrame>) => {
    if (data.type === 'start') void prepare(data.files);
    else if (data.type === 'run') void run(data.id, data.code);
    else stop(data.id);
  };
});

function tell(message: FromFrame): void {
  port?.postMessage(message);
}

async function prepare(files: Record<string, ArrayBuffer>): Promise<void> {
  try {
    const file = (name: string): ArrayBuffer => {
      const bytes = files[name];
      if (!bytes) throw new Error(`${name} is missing`);
      return bytes;
    };
    start = {
      module: await WebAssembly.compile(file('pyodide.asm.wasm')),
      loader: script(file('pyodide.mjs')),
      glue: script(file('pyodide.asm.mjs')),
      stdlib: file('python_stdlib.zip'),
      lock: new TextDecoder().decode(file('pyodide-lock.json')),
    };
    spare = newPython(start);
    await spare.ready;
    tell({ type: 'ready' });
  } catch (error) {
    tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
}

function script(source: BlobPart): string {
  return URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
}

function newPython(from: WorkerStart): Python {
  // An opaque origin may not start a worker by its address, but may make one that imports it:
  // a classic one, since Chromium starts no module of a blob there. Pyodide is for modules only
  // and knows classic workers by `importScripts`.
  const address = JSON.stringify(new URL(workerUrl, location.href).href);
  const blob = script(`importScripts = undefined;
import(${address}).catch((e) => postMessage({ type: 'failed', message: String(e) }));`);
  const worker = new Worker(blob);
  const ready = new Promise<void>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === 'loaded') worker.postMessage(from);
      else if (data.type === 'ready') resolve();
      else if (data.type === 'failed') reject(new Error(data.message));
    };
    worker.onerror = (event) => reject(new Error(event.message || 'its worker did not start'));
  });
  ready.catch(() => undefined).finally(() => URL.revokeObjectURL(blob));
  return { worker, ready };
}

async function run(id: number, code: string): Promise<void> {
  if (!start) return;
  clearTimeout(spareTimer);
  const python = spare ?? newPython(start);
  spare = null;
  running.set(id, python.worker);
  try {
    await python.ready;
  } catch (error) {
    stop(id);
    tell({ type: 'broken', id, message: error instanceof Error ? error.message : String(error) });
    return;
  }
  if (!running.has(id)) return;
  const gathered = new Gathered(id);
  python.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    if (data.type === 'output' || data.type === 'picture') gathered.add(data);
    if (data.type !== 'done') return;
    gathered.flush();
    stop(id);
    tell({ type: 'done', id, result: String(data.result) });
  };
  python.worker.onerror = (event) => {
    gathered.flush();
    stop(id);
    tell({ type: 'broken', id, message: event.message || 'Its worker broke.' });
  };
  tell({ type: 'running', id });
  python.worker.postMessage({ code });
}

/** Whatever it is doing, it is over; the next one may be needed soon. */
function stop(id: number): void {
  running.get(id)?.terminate();
  if (!running.delete(id) || !start) return;
  spare ??= newPython(start);
  clearTimeout(spareTimer);
  spareTimer = setTimeout(() => {
    spare?.worker.terminate();
    spare = null;
  }, SPARE_MS);
}

/** A program may print faster than a page can show: what comes close together goes together. */
class Gathered {
  readonly #id: number;
  #outputs: Output[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(id: number) {
    this.#id = id;
  }

  add(output: Output): void {
    const last = this.#outputs.at(-1);
    if (output.type === 'output' && last?.type === 'output' && last.stream === output.stream) {
      last.text += output.text;
    } else {
      this.#outputs.push(output);
    }
    this.#timer ??= setTimeout(() => this.flush(), GATHER_MS);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#outputs.length > 0 && running.has(this.#id)) {
      tell({ type: 'outputs', id: this.#id, outputs: this.#outputs });
    }
    this.#outputs = [];
  }
}
