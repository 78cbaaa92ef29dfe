/**
 * What of a channel has been read: moves the read mark while somebody looks, and knows where the
 * new messages began.
 *
 * One request at a time: a burst of messages moves the mark once a round trip. What could not be
 * said is said when the connection is back.
 */

import type { Connection } from './connection';
import type { Channel, ChannelMessage } from './contract';
import type { FeedEntry } from './feed';

export class ReadMark {
  /**
   * The time of the last message that had been read when somebody began to look, in nanoseconds
   * since 1970: others' messages after it are new. Null: there are none.
   */
  line: number | null = null;

  readonly #connection: Connection;
  readonly #channelId: string;
  readonly #userId: string;
  #visible = false;
  #news = false;
  #marking = false;
  #drawn = false; // whether the line is there for this time of not looking

  constructor(connection: Connection, channelId: string, userId: string) {
    this.#connection = connection;
    this.#channelId = channelId;
    this.#userId = userId;
  }

  /** Whether somebody looks at the channel from now on. */
  watch(visible: boolean): void {
    this.#visible = visible;
    if (!visible) this.#drawn = false;
    this.mark();
  }

  /** The channel was read, with its newest messages, oldest first. */
  loaded(channel: Channel, entries: readonly FeedEntry[], first: boolean): void {
    if (channel.unread_count === 0) return;
    this.#news = true;
    if (first || !this.#visible) this.#draw(this.#boundary(channel, entries));
    this.mark();
  }

  /** A message came; `last` is the one before it. */
  came(message: ChannelMessage, last: FeedEntry | undefined): void {
    if (message.user_id === this.#userId || message.parent_id !== null) return;
    this.#news = true;
    if (!this.#visible) this.#draw(last?.message.created_at ?? 0);
    this.mark();
  }

  /** Say it, if there is something to say. */
  mark(): void {
    if (!this.#visible || !this.#news || this.#marking || !this.#connection.connected) return;
    this.#marking = true;
    this.#news = false;
    this.#connection
      .request('events:channel', { channel_id: this.#channelId, data: { type: 'last_read_at' } })
      .then(
        () => {
          this.#marking = false;
          this.mark();
        },
        () => {
          this.#marking = false;
          this.#news = true; // the next connection or message tries again
        },
      );
  }

  #draw(line: number): void {
    if (this.#drawn) return;
    this.#drawn = true;
    this.line = line;
  }

  #boundary(channel: Channel, entries: readonly FeedEntry[]): number {
    if (channel.last_read_at !== null) return channel.last_read_at;
    let left = channel.unread_count;
    const first = entries.findLastIndex(
      ({ message }) => message.user_id !== this.#userId && --left === 0,
    );
    return entries[first - 1]?.message.created_at ?? 0;
  }
}
