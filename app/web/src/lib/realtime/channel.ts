/**
 * One open channel: its newest messages and, when asked for, older ones; one thread; who types;
 * and what a person does there.
 *
 * {@link ChannelRoom.open} enters the channel's room and reads; from then on events keep it current
 * in the order in which they happened. A connection that was not recovered reads again, and events
 * that come while something is read are applied to what was read, too: nothing is lost or twice.
 * Own messages are shown before the server has them. Listeners are told what changed; see
 * {@link MessageFeed} for the messages themselves.
 *
 * Limit: an administrator may read a private channel without being in it, but gets no events of it
 * ({@link ChannelRoom.live} is false): it is read again after what one does oneself.
 */

import type { Api } from './api';
import type { Connection } from './connection';
import type { Channel, ChannelEvent, Person } from './contract';
import { Conversation, reacted, type Thread } from './conversation';
import type { FeedEntry, MessageFeed } from './feed';
import { ApiError } from './http';
import { newId } from './ids';
import { ReadMark } from './readmark';
import { Typing } from './typing';

export type ChannelChange =
  /** The channel itself: its name, its phase, everything. */
  | 'channel'
  /** Messages of the channel or of the open thread, or which thread is open. */
  | 'messages'
  | 'typing';

const RETRY_MS = 2_000;

export class ChannelRoom {
  readonly id: string;
  /** `loading`: what it holds is not known yet. `gone`: deleted, or not for us (any more). */
  phase: 'loading' | 'ready' | 'gone' = 'loading';
  /** Why it could not be read, while it is tried again. */
  failure: string | null = null;
  channel: Channel | null = null;
  live = true;
  readonly typing: Typing;
  readonly read: ReadMark;

  readonly #connection: Connection;
  readonly #api: Api;
  readonly #user: Person;
  readonly #conversation: Conversation;
  readonly #listeners = new Set<(change: ChannelChange) => void>();
  readonly #off: (() => void)[] = [];
  readonly #logs = new Set<ChannelEvent[]>(); // of what comes while something is read
  readonly #busy = new Set<string>(); // what is being done and not to be done twice at once
  #loading: Promise<void> | null = null;
  #again = false; // whether it has to be read once more after this time
  #opening = 0; // number of the thread opened last
  #closed = false;

  constructor(connection: Connection, api: Api, user: Person, id: string) {
    this.#connection = connection;
    this.#api = api;
    this.#user = { id: user.id, name: user.name };
    this.id = id;
    this.#conversation = new Conversation(
      (page) => api.channelMessages(id, page),
      (rootId) => (page) => api.thread(id, rootId, page),
    );
    this.typing = new Typing(connection, id, user.id, () => this.#tell('typing'));
    this.read = new ReadMark(connection, id, user.id);
  }

  /** The channel's messages that are no replies. */
  get feed(): MessageFeed {
    return this.#conversation.feed;
  }

  /** The open thread. */
  get thread(): Thread | null {
    return this.#conversation.thread;
  }

  /** Everything that could not be sent, in the channel and in its threads. */
  get failed(): FeedEntry[] {
    return this.#conversation.failed;
  }

  /** Follow the channel, as soon as there is a connection. */
  open(): void {
    this.#off.push(
      this.#connection.on('events:channel', (event) => {
        if (event.channel_id === this.id) this.#take(event);
      }),
      this.#connection.onconnect((recovered) => {
        if (recovered && this.phase === 'ready' && this.failure === null) this.read.mark();
        else void this.#reload();
      }),
    );
    void this.#reload();
  }

  close(): void {
    this.#closed = true;
    this.typing.close();
    for (const off of this.#off) off();
    this.#listeners.clear();
  }

  onchange(listener: (change: ChannelChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // -- reading -------------------------------------------------------------------------

  /** @throws {ApiError} */
  async loadOlder(feed = this.feed): Promise<void> {
    await this.#once(feed === this.feed ? 'older' : 'older replies', () =>
      this.#during(() => feed.loadOlder()),
    );
    this.#tell('messages');
  }

  /**
   * Open the thread a message is in; null: none.
   *
   * @throws {ApiError} `not_found`: there is no such message; then no thread is open
   */
  async openThread(messageId: string | null): Promise<void> {
    const number = ++this.#opening;
    if (messageId === this.thread?.rootId) return;
    if (this.thread) this.typing.stop(this.thread.rootId);
    this.#conversation.leave();
    this.#tell('messages');
    if (messageId === null) return;
    const message =
      this.feed.get(messageId) ?? (await this.#api.channelMessage(this.id, messageId));
    if (number !== this.#opening) return;
    const thread = this.#conversation.enter(message.parent_id ?? message.id);
    try {
      await this.#during(() => thread.feed.load());
    } catch (error) {
      if (this.thread === thread) this.#conversation.leave();
      throw error;
    }
    this.#tell('messages');
  }

  // -- what people do ------------------------------------------------------------------

  /**
   * Say something, in the channel or in the open thread. It is shown at once. When the server
   * cannot take it now it stays, as `failed`; what it refuses does not stay.
   *
   * @throws {ApiError} it was refused
   */
  async send(content: string, thread: Thread | null = null): Promise<void> {
    const key = newId();
    const parentId = thread?.rootId ?? null;
    const feed = thread?.feed ?? this.feed;
    this.typing.stop(parentId);
    if (!thread) this.read.line = null;
    feed.put({ key, channelId: this.id, parentId, content, user: this.#user });
    this.#tell('messages');
    await this.#post(feed, key);
  }

  /**
   * Try again what was not sent, unless it turns out to be there.
   *
   * @throws {ApiError} it was refused
   */
  async resend(key: string, feed = this.feed): Promise<void> {
    await this.#once(key, async () => {
      if (feed.unsent(key)?.state !== 'failed') return;
      feed.mark(key);
      this.#tell('messages');
      try {
        await this.#load();
      } catch (error) {
        feed.mark(key, describe(error));
        this.#tell('messages');
        return;
      }
      await this.#post(feed, key);
    });
  }

  /** Give up on what was not sent. */
  discard(key: string, feed = this.feed): void {
    feed.drop(key);
    this.#tell('messages');
  }

  /** @throws {ApiError} */
  async edit(id: string, content: string): Promise<void> {
    await this.#once(`edit ${id}`, async () => {
      const { updated_at } = await this.#api.editMessage(this.id, id, content);
      this.#conversation.change(id, (message) =>
        message.updated_at > updated_at ? message : { ...message, content, updated_at },
      );
      this.#tell('messages');
    });
  }

  /**
   * Delete a message with its thread.
   *
   * @throws {ApiError}
   */
  async remove(id: string): Promise<void> {
    await this.#once(`remove ${id}`, async () => {
      await this.#api.deleteMessage(this.id, id);
      this.#conversation.drop(id);
      this.#tell('messages');
      if (!this.live) await this.#reload();
    });
  }

  /**
   * Add our reaction, or take it back when it is there.
   *
   * @throws {ApiError}
   */
  async react(id: string, name: string): Promise<void> {
    await this.#once(`react ${id} ${name}`, async () => {
      const message = this.#conversation.find(id);
      const there = message?.reactions.find((reaction) => reaction.name === name);
      const mine = there?.user_ids.includes(this.#user.id) ?? false;
      if (mine) await this.#api.unreact(this.id, id, name);
      else await this.#api.react(this.id, id, name);
      this.#conversation.change(id, (each) => reacted(each, name, this.#user, !mine));
      this.#tell('messages');
    });
  }

  async #post(feed: MessageFeed, key: string): Promise<void> {
    const entry = feed.unsent(key);
    if (!entry) return;
    const { content, parent_id } = entry.message;
    try {
      const message = await this.#api.postMessage(this.id, {
        content,
        temp_id: key,
        meta: { temp_id: key }, // by which a later reading recognises it
        ...(parent_id === null ? {} : { parent_id }),
      });
      feed.confirm(key, message);
      if (!this.live) await this.#reload();
    } catch (error) {
      // Its event may have come, though the answer to the request did not.
      if (!feed.unsent(key)) return;
      if (isRefusal(error)) {
        feed.drop(key);
        throw error;
      }
      feed.mark(key, describe(error));
    } finally {
      this.#tell('messages');
    }
  }

  /** Do something unless just that is being done. */
  async #once(what: string, work: () => Promise<void>): Promise<void> {
    if (this.#busy.has(what)) return;
    this.#busy.add(what);
    await work().finally(() => this.#busy.delete(what));
  }

  // -- keeping up ----------------------------------------------------------------------

  #take(event: ChannelEvent): void {
    const { data } = event;
    if (this.phase === 'gone') {
      if (data.type === 'channel:created') void this.#reload();
      return;
    }
    for (const log of this.#logs) log.push(event);
    this.typing.take(event);
    if (data.type === 'message') {
      this.read.came(
        data.data,
        this.feed.entries.findLast((each) => each.state === 'sent'),
      );
    }
    if (data.type === 'channel:deleted') this.#gone();
    if (data.type === 'channel:updated') void this.#reload(); // perhaps we may not see it any more
    if (this.#conversation.apply(event)) this.#tell('messages');
  }

  #gone(): void {
    this.phase = 'gone';
    this.#conversation.leave();
    this.#tell('channel');
  }

  /** Read again. What cannot be read now is read a little later. */
  async #reload(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      if (this.#closed) return;
      if (isGone(error)) {
        this.#gone();
        return;
      }
      this.failure = describe(error);
      this.#tell('channel');
      // Without a connection the next one reads.
      if (this.#connection.connected) setTimeout(() => void this.#reload(), RETRY_MS);
    }
  }

  #load(): Promise<void> {
    this.#again = true;
    this.#loading ??= this.#read().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #read(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      // The room first: what is published after it comes as an event, what was before is read.
      const { channels } = await this.#connection.request('join-channels', {});
      this.live = channels.includes(this.id);
      await this.#during(async () => {
        const [channel] = await Promise.all([
          this.#api.channel(this.id),
          this.feed.load(),
          this.#loadThread(),
        ]);
        this.channel = channel;
      });
      const first = this.phase !== 'ready';
      this.phase = 'ready';
      this.failure = null;
      if (this.channel && this.live) {
        const sent = this.feed.entries.filter((entry) => entry.state === 'sent');
        this.read.loaded(this.channel, sent, first);
      }
      this.#tell('channel');
    }
  }

  async #loadThread(): Promise<void> {
    const { thread } = this;
    try {
      await thread?.feed.load();
    } catch (error) {
      if (!isGone(error)) throw error;
      if (thread) this.#conversation.drop(thread.rootId); // deleted meanwhile
    }
  }

  /** Read something; what comes meanwhile is applied to it, too. */
  async #during(reading: () => Promise<void>): Promise<void> {
    const log: ChannelEvent[] = [];
    this.#logs.add(log);
    try {
      await reading();
    } finally {
      this.#logs.delete(log);
    }
    for (const event of log) this.#conversation.apply(event);
  }

  #tell(change: ChannelChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 404 || error.status === 403);
}

/** Whether the server will never take it, however often it is sent. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status >= 400 && error.status < 500 && ![408, 429].includes(error.status);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
