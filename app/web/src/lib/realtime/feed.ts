/**
 * Messages in their order, as one looks at them: a window that begins at the newest, grows to the
 * older ones, and ends with those of ours that the server has not taken yet.
 *
 * Entries never change: a message that changed is another entry under the same key, and an own
 * message keeps its key when the server has taken it. A message is recognised as ours by the
 * `temp_id` of its event, or, when it is read, by the one in its `meta`; so it is never there twice.
 */

import type { Page } from './api';
import type { ChannelMessage, Person } from './contract';

export interface FeedEntry {
  /** Stays the same from the moment it is shown. */
  readonly key: string;
  readonly message: ChannelMessage;
  readonly state: 'sent' | 'sending' | 'failed';
  /** Why it could not be sent, for people. */
  readonly failure?: string;
}

/** What is about to be said. */
export interface Draft {
  key: string;
  channelId: string;
  parentId: string | null;
  content: string;
  user: Person;
}

/** Newest first, as the server's lists are. */
export type ReadPage = (page: Page) => Promise<ChannelMessage[]>;

const PAGE = 50;
const MOST_AT_ONCE = 200; // what the server gives in one page
const OVERLAP = 5; // so that a few that are deleted meanwhile make no gap

export class MessageFeed {
  /** Oldest first. */
  entries: readonly FeedEntry[] = [];
  /** Whether there are older ones than those. */
  more = false;

  readonly #readPage: ReadPage;
  readonly #keys = new Map<string, string>(); // of our own messages, by id
  #sent: FeedEntry[] = [];
  #unsent: FeedEntry[] = [];
  #loads = 0;

  constructor(readPage: ReadPage) {
    this.#readPage = readPage;
  }

  // -- reading -------------------------------------------------------------------------

  /** Read anew: as many as there are, at most the newest 200. What was not sent stays. */
  async load(): Promise<void> {
    const number = ++this.#loads;
    const limit = Math.min(MOST_AT_ONCE, Math.max(PAGE, this.#sent.length));
    const page = await this.#readPage({ limit });
    if (number !== this.#loads) return;
    this.more = page.length === limit;
    this.#sent = page.toReversed().map((message) => this.#entry(message));
    this.#show();
  }

  /** Read a page of older ones. */
  async loadOlder(): Promise<void> {
    const oldest = this.#sent[0]?.message;
    if (!oldest || !this.more) return;
    const number = this.#loads;
    const skip = Math.max(0, this.#sent.length - OVERLAP);
    const limit = PAGE + OVERLAP;
    const page = await this.#readPage({ skip, limit });
    if (number !== this.#loads) return;
    const [newest] = page;
    if (skip > 0 && newest && newest.created_at < oldest.created_at) {
      await this.load(); // there may be some in between
      return;
    }
    const older = page.filter((each) => each.created_at <= oldest.created_at && !this.get(each.id));
    this.more = page.length === limit;
    this.#sent = [...older.toReversed().map((each) => this.#entry(each)), ...this.#sent];
    this.#show();
  }

  get(id: string): ChannelMessage | undefined {
    return this.#sent.find((entry) => entry.message.id === id)?.message;
  }

  // -- what happens --------------------------------------------------------------------

  /** A message that the server has; one that is there already is changed. */
  add(message: ChannelMessage): void {
    if (this.update(message)) return;
    const oldest = this.#sent[0]?.message;
    if (this.more && oldest && message.created_at < oldest.created_at) return; // not in the window
    const after = this.#sent.findLastIndex((each) => each.message.created_at <= message.created_at);
    this.#sent = this.#sent.toSpliced(after + 1, 0, this.#entry(message));
    this.#show();
  }

  /** A message that changed; whether it is here. */
  update(message: ChannelMessage): boolean {
    const index = this.#sent.findIndex((entry) => entry.message.id === message.id);
    if (index < 0) return false;
    this.#sent = this.#sent.with(index, this.#entry(message));
    this.#show();
    return true;
  }

  remove(id: string): void {
    this.#sent = this.#sent.filter((entry) => entry.message.id !== id);
    this.#show();
  }

  // -- what is being sent --------------------------------------------------------------

  /** Show a message that is on its way, at the end. */
  put({ key, channelId, parentId, content, user }: Draft): void {
    const at = Date.now() * 1_000_000;
    const message: ChannelMessage = {
      id: key,
      channel_id: channelId,
      user_id: user.id,
      parent_id: parentId,
      content,
      data: null,
      meta: null,
      created_at: at,
      updated_at: at,
      user,
      reactions: [],
      reply_count: 0,
      latest_reply_at: null,
    };
    this.#unsent = [...this.#unsent, { key, message, state: 'sending' }];
    this.#show();
  }

  /** The server took it, if its event did not say so before. */
  confirm(key: string, message: ChannelMessage): void {
    if (this.unsent(key)) this.add({ ...message, temp_id: key });
  }

  /** It was not sent (`failure`), or is being sent once more. */
  mark(key: string, failure?: string): void {
    this.#unsent = this.#unsent.map((entry): FeedEntry => {
      const { message } = entry;
      if (entry.key !== key) return entry;
      if (failure === undefined) return { key, message, state: 'sending' };
      return { key, message, state: 'failed', failure };
    });
    this.#show();
  }

  /** One that the server has not taken, as far as we know. */
  unsent(key: string): FeedEntry | undefined {
    return this.#unsent.find((entry) => entry.key === key);
  }

  /** Give up on one. */
  drop(key: string): void {
    this.#unsent = this.#unsent.filter((entry) => entry.key !== key);
    this.#show();
  }

  #entry(message: ChannelMessage): FeedEntry {
    const temporary = message.temp_id ?? message.meta?.['temp_id'];
    if (typeof temporary === 'string' && this.unsent(temporary)) {
      this.#keys.set(message.id, temporary);
      this.drop(temporary);
    }
    return { key: this.#keys.get(message.id) ?? message.id, message, state: 'sent' };
  }

  #show(): void {
    this.entries = [...this.#sent, ...this.#unsent];
  }
}
