/**
 * Calls of the server into this page: each is answered once, also when it is sent again.
 *
 * A call comes to the one session that asked for the answer, and again after a recovery with the
 * same `call_id`. Handlers get a signal that aborts when nobody waits for the result any more:
 * the deadline has passed, the answer that the call belongs to has ended, or the session has.
 * Then its reason is a {@link CallOver}.
 */

import type { Connection } from './connection';
import type { CallData, ChatEvent } from './contract';
import { newId } from './ids';

type CallType = CallData['type'];
type CallPayloads = { [D in CallData as D['type']]: D['data'] };

/** Why nobody waits for a call's result any more. */
export class CallOver extends Error {
  override readonly name = 'CallOver';
  readonly why: 'deadline' | 'answer-ended' | 'session-ended';

  constructor(why: CallOver['why']) {
    super(OVER[why]);
    this.why = why;
  }
}

const OVER = {
  deadline: 'The time for an answer is over.',
  'answer-ended': 'The answer that asked has ended.',
  'session-ended': 'The connection of the session that was asked is gone.',
};

/** A call as a handler sees it. */
export interface Call<T extends CallType = CallType> {
  id: string;
  chatId: string;
  messageId: string | null;
  data: CallPayloads[T];
  /** When the server stops waiting, in ms since 1970. */
  deadline: number;
  signal: AbortSignal;
  /** Aborts when the answer ends, or the session does: also after the call has been answered. */
  answerEnded: AbortSignal;
}

export type CallHandler<T extends CallType> = (call: Call<T>) => Promise<unknown>;

interface Running {
  messageKey: string;
  abort: AbortController;
  answer: Promise<unknown>;
}

const ENDS = new Set(['chat:tasks:cancel', 'chat:message:error']);

export class CallDesk {
  readonly #connection: Connection;
  readonly #handlers = new Map<string, (call: Call) => Promise<unknown>>();
  readonly #running = new Map<string, Running>();
  readonly #ends = new Map<string, AbortController>(); // of answers that have called
  readonly #off: (() => void)[];

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#off = [
      connection.on('events', (event, acknowledge) => {
        if (typeof acknowledge === 'function') void this.#answer(event, acknowledge);
      }),
      connection.onchat((event) => {
        if (ends(event)) this.#abandon(keyOf(event));
      }),
      connection.onconnect((recovered) => {
        if (!recovered) this.#abandonAll();
      }),
    ];
  }

  /** Answer calls of a type. What the handler throws is told to the server as `{error}`. */
  handle<T extends CallType>(type: T, handler: CallHandler<T>): void {
    this.#handlers.set(type, handler as unknown as (call: Call) => Promise<unknown>);
  }

  /** Stop listening; calls that are open are given up. */
  close(): void {
    for (const off of this.#off) off();
    this.#abandonAll();
    this.#running.clear();
  }

  async #answer(event: ChatEvent, acknowledge: (answer: unknown) => void): Promise<void> {
    const id = event.call_id ?? newId();
    const running = this.#running.get(id) ?? this.#start(id, event);
    const { sessionId } = this.#connection;
    const answer = await running.answer;
    // Of another session the number of an acknowledgement means another call; and one that is
    // sent without a connection is lost: the call is sent again after the recovery.
    if (this.#connection.sessionId === sessionId) acknowledge(answer);
  }

  #start(id: string, event: ChatEvent): Running {
    const abort = new AbortController();
    const messageKey = keyOf(event);
    const ended = this.#ends.get(messageKey) ?? new AbortController();
    this.#ends.set(messageKey, ended);
    const timeout = this.#connection.callTimeout * 1000;
    const timer = setTimeout(() => abort.abort(new CallOver('deadline')), timeout);
    const call = {
      id,
      chatId: event.chat_id,
      messageId: event.message_id,
      data: event.data.data,
      deadline: Date.now() + timeout,
      signal: abort.signal,
      answerEnded: ended.signal,
    } as Call;
    const running: Running = {
      messageKey,
      abort,
      answer: this.#run(event.data.type, call).finally(() => {
        clearTimeout(timer);
        // Remembered for a while: the acknowledgement may be lost, and the call sent again.
        setTimeout(() => this.#running.delete(id), timeout);
      }),
    };
    this.#running.set(id, running);
    return running;
  }

  async #run(type: string, call: Call): Promise<unknown> {
    const handler = this.#handlers.get(type);
    if (!handler) return { error: `This page cannot answer ${type}.` };
    try {
      return await handler(call);
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  }

  #abandon(messageKey: string, over = new CallOver('answer-ended')): void {
    this.#ends.get(messageKey)?.abort(over);
    this.#ends.delete(messageKey);
    for (const running of this.#running.values()) {
      if (running.messageKey === messageKey) running.abort.abort(over);
    }
  }

  #abandonAll(): void {
    for (const key of [...this.#ends.keys()]) this.#abandon(key, new CallOver('session-ended'));
  }
}

function keyOf(event: ChatEvent): string {
  return `${event.chat_id}/${event.message_id ?? ''}`;
}

function ends({ data }: ChatEvent): boolean {
  return ENDS.has(data.type) || (data.type === 'chat:completion' && data.data.done === true);
}
