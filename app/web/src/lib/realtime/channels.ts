/**
 * All channels that are there for a user, with what is unread in each, kept current by events.
 *
 * The server counts; from then on events do: messages later than the newest one that the server
 * had counted are added, read marks take away what is not later than they are. When something
 * cannot be told that way (an older message was deleted), the channel is read again. Own messages
 * and replies are never unread, and nothing is in the channel that is being looked at.
 */

import type { Api } from './api';
import type { Connection } from './connection';
import type { Channel, ChannelEvent, ChannelMessage, Person } from './contract';
import { ApiError } from './http';

/** Something somebody else said where nobody is looking. */
export interface ChannelNews {
  channel: Channel;
  message: ChannelMessage;
  /** An answer to what we said, in its thread. */
  reply: boolean;
}

const PAGE = 200;
const RETRY_MS = 2_000;

interface Counted {
  channel: Channel;
  /** Whether we are in its room; who is not gets no events, and cannot read it either. */
  live: boolean;
  /** Time of the newest message that {@link before} covers. */
  upTo: number;
  before: number;
  /** Times of unread messages after that. */
  after: number[];
}

export class ChannelDirectory {
  readonly #connection: Connection;
  readonly #api: Api;
  readonly #user: Person;
  readonly #listeners = new Set<() => void>();
  readonly #newsListeners = new Set<(news: ChannelNews) => void>();
  readonly #off: (() => void)[];
  readonly #channels = new Map<string, Counted>();
  readonly #logs = new Set<ChannelEvent[]>(); // of what comes while something is read
  #looked: string | null = null;
  #reading = 0; // number of the newest reading: older ones that come late are dropped
  #lastReply: ChannelMessage | null = null;
  #closed = false;

  constructor(connection: Connection, api: Api, user: Person) {
    this.#connection = connection;
    this.#api = api;
    this.#user = user;
    this.#off = [
      connection.on('events:channel', (event) => this.#take(event)),
      connection.onconnect((recovered) => {
        if (!recovered) void this.refresh();
      }),
    ];
  }

  onchange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onnews(listener: (news: ChannelNews) => void): () => void {
    this.#newsListeners.add(listener);
    return () => this.#newsListeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    for (const off of this.#off) off();
    this.#listeners.clear();
    this.#newsListeners.clear();
  }

  /** The channels, oldest first; `unread_count` is as of now. */
  get entries(): Channel[] {
    return [...this.#channels.values()].map((counted) => ({
      ...counted.channel,
      unread_count: this.#unread(counted),
    }));
  }

  /** Say which channel is being looked at: nothing in it is unread. */
  look(id: string | null): void {
    this.#looked = id;
    const counted = this.#channels.get(id ?? '');
    if (counted) Object.assign(counted, { before: 0, after: [] });
    this.#tell();
  }

  /**
   * Read all of them again. A first reading needs no connection. What cannot be read now is read
   * a little later.
   */
  async refresh(): Promise<void> {
    const number = ++this.#reading;
    try {
      await this.#during(async () => {
        // The rooms first: what is published after it comes as an event, what was before is read.
        const joined = this.#connection.connected
          ? new Set((await this.#connection.request('join-channels', {})).channels)
          : null;
        const channels = await this.#readAll();
        if (number !== this.#reading || this.#closed) return;
        this.#channels.clear();
        for (const channel of channels) {
          this.#put(channel, joined === null || joined.has(channel.id));
        }
      });
    } catch {
      if (this.#closed || number !== this.#reading) return;
      setTimeout(() => {
        if (number === this.#reading && !this.#closed) void this.refresh();
      }, RETRY_MS);
      return;
    }
    this.#tell();
  }

  async #readAll(): Promise<Channel[]> {
    for (;;) {
      const found = await this.#api.channels({ limit: PAGE });
      let page = found;
      let whole = true;
      while (page.length === PAGE) {
        // One that is known comes again: if it does not, one before it was deleted meanwhile.
        page = await this.#api.channels({ skip: found.length - 1, limit: PAGE });
        if (page[0]?.id !== found.at(-1)?.id) {
          whole = false;
          break;
        }
        found.push(...page.slice(1));
      }
      if (whole) return found;
    }
  }

  // -- events --------------------------------------------------------------------------

  #take(event: ChannelEvent): void {
    for (const log of this.#logs) log.push(event);
    this.#apply(event);
    this.#announce(event);
  }

  /** Once more does no harm. */
  #apply({ channel_id: id, data }: ChannelEvent): void {
    const counted = this.#channels.get(id);
    switch (data.type) {
      case 'channel:created':
        if (counted) counted.live = true;
        else this.#put(withoutHistory(data.data, this.#user), true);
        // What was private and is open now may hold messages that are news to us.
        if (!data.data.private && data.data.updated_at !== data.data.created_at) {
          void this.#reload(id);
        }
        break;
      case 'channel:updated':
        if (!counted) return;
        // It may have become private, without us.
        if (data.data.private && !counted.channel.private) void this.refresh();
        counted.channel = { ...counted.channel, ...data.data };
        break;
      case 'channel:deleted':
        this.#channels.delete(id);
        break;
      case 'message':
        if (counted) this.#count(counted, data.data);
        break;
      case 'message:delete':
        if (counted) this.#uncount(counted, data.data);
        break;
      case 'last_read_at':
        if (counted) this.#markRead(counted, data.data.last_read_at);
        break;
      default:
        return;
    }
    this.#tell();
  }

  #count(counted: Counted, message: ChannelMessage): void {
    const { created_at: at, user_id, parent_id } = message;
    const { channel, upTo, after } = counted;
    if (at <= upTo || after.includes(at)) return; // the server has counted it
    counted.channel = { ...channel, last_message_at: at };
    if (user_id === this.#user.id || parent_id !== null || this.#looked === channel.id) return;
    if (at > (channel.last_read_at ?? 0)) after.push(at);
  }

  #uncount(counted: Counted, message: ChannelMessage): void {
    const { created_at: at } = message;
    if (at > counted.upTo) counted.after = counted.after.filter((each) => each !== at);
    else if (counted.before > 0 && at > (counted.channel.last_read_at ?? 0)) {
      void this.#reload(counted.channel.id);
    }
  }

  #markRead(counted: Counted, at: number): void {
    if (at <= (counted.channel.last_read_at ?? 0)) return;
    counted.channel = { ...counted.channel, last_read_at: at };
    counted.after = counted.after.filter((each) => each > at);
    if (at >= counted.upTo) counted.before = 0;
    else if (counted.before > 0) void this.#reload(counted.channel.id);
  }

  #announce({ data, user }: ChannelEvent): void {
    if (data.type === 'message' && data.data.parent_id !== null) this.#lastReply = data.data;
    if (data.type !== 'message' && data.type !== 'message:reply') return;
    const counted = this.#channels.get(data.data.channel_id);
    if (!counted || user.id === this.#user.id || this.#looked === counted.channel.id) return;
    if (data.type === 'message') {
      if (data.data.parent_id === null) this.#tellNews(counted, data.data, false);
    } else if (data.data.user_id === this.#user.id && this.#lastReply?.parent_id === data.data.id) {
      this.#tellNews(counted, this.#lastReply, true);
    }
    if (data.type === 'message:reply') this.#lastReply = null;
  }

  // -- one channel ---------------------------------------------------------------------

  #put(channel: Channel, live: boolean): void {
    const looked = this.#looked === channel.id;
    this.#channels.set(channel.id, {
      channel,
      live,
      upTo: channel.last_message_at ?? 0,
      before: looked ? 0 : channel.unread_count,
      after: [],
    });
  }

  async #reload(id: string): Promise<void> {
    const number = this.#reading;
    try {
      await this.#during(async () => {
        const channel = await this.#api.channel(id);
        const counted = this.#channels.get(id);
        if (number === this.#reading && counted) this.#put(channel, counted.live);
      });
    } catch (error) {
      const gone = error instanceof ApiError && (error.status === 404 || error.status === 403);
      if (gone && number === this.#reading) this.#channels.delete(id);
    }
    this.#tell();
  }

  #unread({ live, before, after }: Counted): number {
    return live ? before + after.length : 0;
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
    for (const event of log) this.#apply(event);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #tellNews({ channel }: Counted, message: ChannelMessage, reply: boolean): void {
    for (const listener of this.#newsListeners) listener({ channel, message, reply });
  }
}

/** A channel as its events show it: what is in it is history to us. */
function withoutHistory(channel: Channel, user: Person): Channel {
  return {
    ...channel,
    unread_count: 0,
    last_message_at: null,
    last_read_at: null,
    is_manager: channel.user_id === user.id || user.role === 'admin',
  };
}
