/**
 * A worker that runs one Python program, and nothing after it.
 *
 * It is told once what Pyodide is made of ({@link WorkerStart}), says `ready`, then gets the code.
 * No network: its policy allows no connections, and what Pyodide would fetch is given to it.
 */

import type { PyodideAPI } from 'pyodide';
import harness from './harness.py?raw';
import { OutputSender } from './lines';
import type { FromWorker, WorkerStart } from './protocol';

interface Harness {
  run: (code: string, show: (url: string) => void) => Promise<string>;
}
type Loader = (settings: Record<string, unknown>) => Promise<PyodideAPI>;

const post = (message: FromWorker): void => postMessage(message);
const nowhere = 'https://python.invalid/';

let python: Promise<PyodideAPI> | null = null;

addEventListener('message', (event: MessageEvent<WorkerStart | { code: string }>) => {
  const { data } = event;
  if ('code' in data) {
    if (python) void run(python, data.code);
    return;
  }
  python ??= load(data);
  python.then(
    () => post({ type: 'ready' }),
    (error: unknown) => post({ type: 'failed', message: String(error) }),
  );
});

post({ type: 'loaded' });

async function load(start: WorkerStart): Promise<PyodideAPI> {
  const { module } = start;
  const { fetch } = globalThis;
  const { instantiateStreaming } = WebAssembly;
  // Pyodide fetches its library and its WebAssembly by address; both are here already.
  globalThis.fetch = (address) =>
    Promise.resolve(new Response(String(address).endsWith('.zip') ? start.stdlib : null));
  WebAssembly.instantiateStreaming = async (_source, imports) => ({
    module,
    instance: await WebAssembly.instantiate(module, imports),
  });
  try {
    const loader = (await import(/* @vite-ignore */ start.loader)) as { loadPyodide: Loader };
    const glue = (await import(/* @vite-ignore */ start.glue)) as { default: unknown };
    return await loader.loadPyodide({
      indexURL: nowhere,
      packageBaseUrl: nowhere,
      createPyodideModule: glue.default,
      lockFileContents: start.lock,
    });
  } finally {
    globalThis.fetch = fetch;
    WebAssembly.instantiateStreaming = instantiateStreaming;
  }
}

async function run(loading: Promise<PyodideAPI>, code: string): Promise<void> {
  const sender = new OutputSender(post);
  try {
    const pyodide = await loading;
    pyodide.setStdout({ write: writer((text) => sender.stdout(text)) });
    pyodide.setStderr({ write: writer((text) => sender.stderr(text)) });
    const module = pyodide.runPython(
      'import types; types.ModuleType("harness")',
    ) as unknown as Harness & { __dict__: unknown };
    pyodide.runPython(harness, { globals: module.__dict__ as never, filename: 'harness.py' });
    const result = await module.run(code, (url) => sender.picture(url));
    sender.end();
    post({ type: 'done', result });
  } catch (error) {
    // Python itself broke, e.g. out of memory or too deep a recursion.
    sender.end();
    sender.stderr(`Python has ended: ${error instanceof Error ? error.message : String(error)}\n`);
    post({ type: 'done', result: '{"ok": false, "value": null}' });
  }
}

function writer(take: (text: string) => void): (bytes: Uint8Array) => number {
  const decoder = new TextDecoder();
  return (bytes) => {
    take(decoder.decode(bytes, { stream: true }));
    return bytes.length;
  };
}
