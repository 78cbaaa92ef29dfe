/**
 * Programs that run, and have run, in this page: those that an answer's tools asked for, by its
 * message, and those that the person started.
 */

import { SvelteMap } from 'svelte/reactivity';
import { CallOver, type Api, type Call } from '$lib/realtime';
import { runPython, type PythonResult } from '$lib/python';

const MOST_FILES = 3_900_000; // of one event; the server takes 4 MiB
const MOST_PER_MESSAGE = 20;

/** One run of a program. */
export class Execution {
  readonly code: string;
  state: 'loading' | 'running' | 'done' = $state('loading');
  /** Bytes of Python that have come, while loading. */
  loaded = $state(0);
  stdout = $state('');
  stderr = $state('');
  result: unknown = $state.raw(null);
  pictures: string[] = $state.raw([]);
  /** When the program itself began, in ms of `performance.now()`. */
  startedAt = $state(0);
  /** How long it ran, in ms, once it is done. */
  elapsed = $state(0);
  /** How it ended; null until then. */
  ending: 'finished' | 'failed' | 'stopped' | null = $state(null);
  readonly #stop = new AbortController();

  constructor(code: string) {
    this.code = code;
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Run it; never throws: what went wrong is in `stderr`. */
  async run(signal: AbortSignal | null = null, deadline?: number): Promise<PythonResult> {
    const signals = [this.#stop.signal, ...(signal ? [signal] : [])];
    let result: PythonResult;
    try {
      result = await runPython(this.code, {
        signal: AbortSignal.any(signals),
        deadline,
        onprogress: (bytes) => (this.loaded = bytes),
        onrunning: () => {
          this.state = 'running';
          this.startedAt = performance.now();
        },
        onoutput: (sofar) => this.#show(sofar),
      });
    } catch (error) {
      const stderr = error instanceof Error ? error.message : String(error);
      result = { ok: false, stdout: '', stderr, result: null, pictures: [] };
    }
    if (signal?.aborted && signal.reason instanceof CallOver) {
      result.stderr = result.stderr.replace(/Stopped$/, signal.reason.message);
    }
    this.#show(result);
    this.result = result.result;
    this.elapsed = this.startedAt === 0 ? 0 : performance.now() - this.startedAt;
    const stopped = this.#stop.signal.aborted || signal?.aborted;
    this.ending = result.ok ? 'finished' : stopped ? 'stopped' : 'failed';
    this.state = 'done';
    return result;
  }

  #show({ stdout, stderr, pictures }: Readonly<PythonResult>): void {
    this.stdout = stdout;
    this.stderr = stderr;
    if (pictures.length !== this.pictures.length) this.pictures = [...pictures];
  }
}

class Executions {
  readonly #byMessage = new SvelteMap<string, Execution[]>();

  /** The programs of a message, in the order in which they began. */
  of(messageId: string): readonly Execution[] {
    return this.#byMessage.get(messageId) ?? [];
  }

  add(messageId: string, execution: Execution): void {
    const those = [...this.of(messageId), execution];
    this.#byMessage.set(messageId, those.slice(-MOST_PER_MESSAGE));
  }
}

export const executions = new Executions();

/** The answer of the call `execute:python`; pictures become files of the message, for everybody. */
export async function answerPython(call: Call<'execute:python'>, api: Api): Promise<unknown> {
  const { chatId, messageId } = call;
  const execution = new Execution(String(call.data.code));
  if (messageId !== null) executions.add(messageId, execution);
  const { stdout, stderr, result, pictures } = await execution.run(call.signal, call.deadline);
  const failure =
    pictures.length > 0 && messageId !== null
      ? await attach(api, chatId, messageId, pictures)
      : null;
  if (failure !== null) execution.stderr = [stderr, failure].filter(Boolean).join('\n');
  return { stdout, stderr: execution.stderr, result };
}

/** @returns what went wrong, as a sentence, or null */
async function attach(
  api: Api,
  chatId: string,
  messageId: string,
  pictures: string[],
): Promise<string | null> {
  if (chatId.startsWith('local:')) return null; // nothing of it is stored
  const files = pictures.map((url, at) => ({
    type: 'image',
    name: `Python picture ${at + 1}`,
    url,
  }));
  const events: (typeof files)[] = [];
  let size = Infinity;
  for (const file of files) {
    size += file.url.length;
    if (size > MOST_FILES) {
      events.push([]);
      size = file.url.length;
    }
    events.at(-1)?.push(file);
  }
  try {
    for (const each of events) await api.emit(chatId, messageId, 'files', { files: each });
    return null;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `The pictures could not be added to the message: ${why}`;
  }
}

/** Run code that a person chose to run. */
export function runCode(code: string): Execution {
  const execution = new Execution(code);
  void execution.run();
  return execution;
}
