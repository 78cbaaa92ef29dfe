/**
 * Who is typing in a channel, and telling it of oneself.
 *
 * Others are forgotten {@link FORGET_MS} after they were last heard of: the end of typing is
 * volatile and may be lost. Own typing is told every {@link TELL_EVERY_MS} at most.
 */

import type { Connection } from './connection';
import type { ChannelEvent, Person } from './contract';

const FORGET_MS = 5_000;
const TELL_EVERY_MS = 3_000;

interface Typist {
  person: Person;
  /** The thread; null: the channel itself. */
  thread: string | null;
  timer: ReturnType<typeof setTimeout>;
}

export class Typing {
  readonly #connection: Connection;
  readonly #channelId: string;
  readonly #userId: string;
  readonly #changed: () => void;
  readonly #others = new Map<string, Typist>();
  readonly #told = new Map<string | null, number>(); // when, by thread

  /** @param changed called when somebody begins or ends */
  constructor(connection: Connection, channelId: string, userId: string, changed: () => void) {
    this.#connection = connection;
    this.#channelId = channelId;
    this.#userId = userId;
    this.#changed = changed;
  }

  /** Those who are typing in the channel, or in one of its threads. */
  in(thread: string | null): Person[] {
    return [...this.#others.values()]
      .filter((typist) => typist.thread === thread)
      .map((typist) => typist.person);
  }

  /** A `typing` event, or a message, which ends the typing of its author. */
  take({ user, message_id: thread, data }: ChannelEvent): void {
    if (data.type === 'message') this.#forget(user.id);
    if (data.type !== 'typing' || user.id === this.#userId) return;
    if (!data.data.typing) {
      this.#forget(user.id);
      return;
    }
    clearTimeout(this.#others.get(user.id)?.timer);
    const timer = setTimeout(() => this.#forget(user.id), FORGET_MS);
    this.#others.set(user.id, { person: user, thread, timer });
    this.#changed();
  }

  /** We type; to be called with every key. */
  tell(thread: string | null): void {
    const now = Date.now();
    if (now - (this.#told.get(thread) ?? 0) < TELL_EVERY_MS) return;
    this.#told.set(thread, now);
    this.#send(thread, true);
  }

  /** We do not type any more. */
  stop(thread: string | null): void {
    if (this.#told.delete(thread)) this.#send(thread, false);
  }

  close(): void {
    for (const thread of [...this.#told.keys()]) this.stop(thread);
    for (const { timer } of this.#others.values()) clearTimeout(timer);
    this.#others.clear();
  }

  #forget(userId: string): void {
    clearTimeout(this.#others.get(userId)?.timer);
    if (this.#others.delete(userId)) this.#changed();
  }

  #send(thread: string | null, typing: boolean): void {
    this.#connection.send('events:channel', {
      channel_id: this.#channelId,
      ...(thread === null ? {} : { message_id: thread }),
      data: { type: 'typing', data: { typing } },
    });
  }
}
