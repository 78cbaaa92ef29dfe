/**
 * The call `request:chat:completion`: this page asks the person's own model and passes its lines on.
 *
 * The server acknowledges each piece before the next one goes; what comes meanwhile goes together,
 * so a fast model cannot flood it, and a connection that breaks loses nothing silently. Should the
 * break hit a piece on its way, it is not known whether that came, and the answer ends with an
 * error rather than with a gap. The request is given up when the answer ends.
 */

import { Refused, type Call, type Connection } from '$lib/realtime';
import { preferences } from '$state/preferences.svelte';
import { hostOf, messageOf, readBody, send } from './foreign';

type CompletionCall = Call<'request:chat:completion'>;

const MOST_PIECE = 256 * 1024;
const MOST_WAITING = 1024 * 1024;

export async function answerCompletion(
  call: CompletionCall,
  connection: Connection,
): Promise<unknown> {
  const { form_data: form, model, channel } = call.data;
  const server = preferences.modelServers.find(({ url }) => url === model['url']);
  if (!server) return { error: 'The model’s address is not among the settings of this page.' };
  const signal = AbortSignal.any([call.signal, call.answerEnded]);
  try {
    const response = await send(`${server.url}/chat/completions`, server.key, {
      method: 'POST',
      signal,
      headers: {
        'content-type': 'application/json',
        accept: 'text/event-stream, application/json',
      },
      body: JSON.stringify({ ...form, model: model['model'] ?? form['model'] }),
    });
    if (response.body && response.headers.get('content-type')?.includes('text/event-stream')) {
      void relay(response.body, new Outgoing(connection, channel, signal));
      return { status: true };
    }
    const answer = await readBody(response);
    if ((answer as { choices?: unknown } | null)?.choices) return answer;
    const said = messageOf(answer);
    return { error: `${hostOf(server.url)} gave no completion${said ? `: ${said}` : '.'}` };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** Pass a model's lines on, whole ones, and the end. Never throws. */
async function relay(body: ReadableStream<Uint8Array>, outgoing: Outgoing): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const bytes of body) {
      const text = rest + decoder.decode(bytes, { stream: true });
      const end = text.lastIndexOf('\n') + 1;
      rest = text.slice(end);
      await outgoing.push(text.slice(0, end));
    }
    rest += decoder.decode();
  } catch {
    rest = ''; // the model broke off; the server sees that its answer is not whole
  }
  await outgoing.end(rest);
}

/** Pieces on their way to the server, in order. */
class Outgoing {
  readonly #connection: Connection;
  readonly #channel: string;
  readonly #signal: AbortSignal;
  #waiting = '';
  #sending: Promise<void> | null = null;
  #over = false;

  constructor(connection: Connection, channel: string, signal: AbortSignal) {
    this.#connection = connection;
    this.#channel = channel;
    this.#signal = signal;
  }

  /** Send text; resolves at once unless much is waiting. */
  async push(text: string): Promise<void> {
    if (this.#over) throw new Error('nobody listens any more');
    this.#waiting += text;
    if (this.#waiting) this.#sending ??= this.#sendAll();
    if (this.#waiting.length > MOST_WAITING) await this.#sending;
  }

  async end(rest: string): Promise<void> {
    if (!this.#over) await this.push(rest);
    await this.#sending;
    await this.#send({ done: true });
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting && !this.#over) {
      const piece = wholeLines(this.#waiting);
      this.#waiting = this.#waiting.slice(piece.length);
      await this.#send(piece);
    }
    this.#sending = null;
  }

  async #send(piece: unknown): Promise<void> {
    while (!this.#over) {
      await connected(this.#connection, this.#signal);
      if (this.#signal.aborted) this.#over = true;
      else if (await this.#sent(piece)) return;
    }
  }

  /** Whether the server has it; false: it was not sent, for there is no connection. */
  async #sent(piece: unknown): Promise<boolean> {
    try {
      await this.#connection.sendOn(this.#channel, piece);
      return true;
    } catch (error) {
      const code = error instanceof Refused ? error.code : '';
      if (code === 'not_connected') return false;
      this.#over = true;
      if (code === 'no_answer') await this.#confess();
      return true; // else the answer has ended
    }
  }

  async #confess(): Promise<void> {
    const message = 'the connection to the page broke while it passed its answer on';
    await connected(this.#connection, this.#signal);
    await this.#connection.sendOn(this.#channel, { error: { message } }).catch(() => undefined);
  }
}

/** As many lines as go together; a line that is longer than that goes alone. */
function wholeLines(text: string): string {
  if (text.length <= MOST_PIECE) return text;
  const end = text.lastIndexOf('\n', MOST_PIECE - 1) + 1 || text.indexOf('\n') + 1;
  return end === 0 ? text : text.slice(0, end);
}

/** Wait until there is a connection, or nobody waits for the answer. */
function connected(connection: Connection, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (connection.connected || signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      off();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const off = connection.onstate((state) => {
      if (state.status === 'connected' || state.status === 'closed') queueMicrotask(done);
    });
    signal.addEventListener('abort', done);
  });
}
