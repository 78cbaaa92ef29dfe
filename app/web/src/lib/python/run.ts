/**
 * Python in the browser, one program at a time or several: {@link runPython}.
 *
 * Guarantees: a program ends when its time is over or nobody wants it any more; programs know
 * nothing of each other; output is bounded. Limit: the standard library only, no network, no input.
 */

import { CUT, MOST_OUTPUT, MOST_PICTURE, MOST_PICTURES, PICTURE, type Output } from './protocol';
import { sandbox } from './sandbox';

export interface PythonResult {
  /** Whether it ran to its end, without an error and in time. */
  ok: boolean;
  stdout: string;
  stderr: string;
  /** The last expression's value, or its `repr`; null when there is none. */
  result: unknown;
  /** data: URLs, in the order of `[picture 1]`, `[picture 2]` … in stdout. */
  pictures: string[];
}

export interface PythonOptions {
  signal?: AbortSignal | undefined;
  /** Longest run, without loading Python. */
  timeoutMs?: number;
  /** When the result is of no use any more, in ms since 1970; with it loading counts too. */
  deadline?: number | undefined;
  /** How many bytes of Python have come, while it is being loaded. */
  onprogress?: (bytes: number) => void;
  onrunning?: () => void;
  /** All output until now; the same object each time. */
  onoutput?: (sofar: Readonly<PythonResult>) => void;
}

export const TIME_LIMIT = 'Execution Time Limit Exceeded';
const MINUTE = 60_000;
const RESERVE_MS = 2_000; // what telling the result may take

/**
 * Run a program.
 *
 * @throws {Error} Python could not be loaded. What goes wrong later is in `stderr`.
 */
export async function runPython(code: string, options: PythonOptions = {}): Promise<PythonResult> {
  const { signal, timeoutMs = MINUTE, deadline = Infinity } = options;
  const sofar: PythonResult = { ok: false, stdout: '', stderr: '', result: null, pictures: [] };
  const ended = endings(signal, deadline - RESERVE_MS - Date.now());
  try {
    const python = await Promise.race([
      sandbox((bytes) => options.onprogress?.(bytes)),
      ended.promise,
    ]);
    if (typeof python === 'string') return { ...sofar, stderr: python };
    await new Promise<void>((resolve) => {
      const stop = python.run(code, {
        onrunning: () => {
          ended.within(timeoutMs);
          options.onrunning?.();
        },
        onoutputs: (outputs) => {
          outputs.forEach((output) => take(sofar, output));
          options.onoutput?.(sofar);
        },
        ondone: (result) => {
          Object.assign(sofar, parse(result));
          resolve();
        },
        onbroken: (message) => {
          sofar.stderr = onItsOwnLine(sofar.stderr, `Python has ended: ${message}`);
          resolve();
        },
      });
      void ended.promise.then((why) => {
        stop();
        sofar.stderr = onItsOwnLine(sofar.stderr, why);
        resolve();
      });
    });
    return sofar;
  } finally {
    ended.clear();
  }
}

/** A promise of why a program has to end, if it has to. */
function endings(signal: AbortSignal | undefined, inAll: number) {
  const timers: ReturnType<typeof setTimeout>[] = [];
  let end: (why: string) => void = () => undefined;
  const promise = new Promise<string>((resolve) => (end = resolve));
  const stopped = () => end('Stopped');
  const within = (ms: number) => {
    if (ms < 2 ** 31) timers.push(setTimeout(() => end(TIME_LIMIT), Math.max(0, ms)));
  };
  within(inAll);
  if (signal?.aborted) stopped();
  signal?.addEventListener('abort', stopped);
  const clear = () => {
    timers.forEach(clearTimeout);
    signal?.removeEventListener('abort', stopped);
  };
  return { promise, within, clear };
}

/** What a worker sent; the program can send such messages as well, so it is looked at again. */
function take(sofar: PythonResult, output: Output): void {
  if (output.type === 'picture') {
    const { url } = output;
    if (sofar.pictures.length < MOST_PICTURES && isPicture(url)) sofar.pictures.push(url);
  } else if (output.stream === 'stdout' || output.stream === 'stderr') {
    const text = sofar[output.stream] + String(output.text);
    const most = MOST_OUTPUT + CUT.length;
    sofar[output.stream] = text.length > most ? text.slice(0, most) : text;
  }
}

function isPicture(url: unknown): url is string {
  return typeof url === 'string' && url.length <= MOST_PICTURE && PICTURE.test(url);
}

function parse(text: string): Pick<PythonResult, 'ok' | 'result'> {
  try {
    const { ok, value } = JSON.parse(text) as { ok?: unknown; value?: unknown };
    return { ok: ok === true, result: value ?? null };
  } catch {
    return { ok: false, result: null };
  }
}

function onItsOwnLine(text: string, line: string): string {
  return text === '' || text.endsWith('\n') ? text + line : `${text}\n${line}`;
}
