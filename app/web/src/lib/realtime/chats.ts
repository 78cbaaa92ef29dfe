/**
 * The list of a user's chats, kept current by events: titles, tags, which are being answered,
 * which have something unread, which are gone.
 *
 * Read in pages, the last changed first; a search reads a list of its own. After a connection
 * that was not recovered the first page is read again.
 */

import type { Api } from './api';
import type { Connection } from './connection';
import type { ChatEntry, ChatEvent } from './contract';

const PAGE = 40;
const RETRY_MS = 2_000;
const LISTED = new Set(['chat:title', 'chat:tags', 'chat:active', 'chat:list']);

export class ChatDirectory {
  entries: ChatEntry[] = [];
  /** Whether the server has more than {@link entries}. */
  more = false;
  query = '';

  readonly #connection: Connection;
  readonly #api: Api;
  readonly #listeners = new Set<() => void>();
  readonly #off: (() => void)[];
  #open: string | null = null;
  #reading = 0; // number of the newest reading: older ones that come late are dropped
  #stale = false; // whether it could not be read when that was needed
  #closed = false;
  #outdated = false; // whether something happened since the reading began

  constructor(connection: Connection, api: Api) {
    this.#connection = connection;
    this.#api = api;
    this.#off = [
      connection.onchat((event) => this.#take(event)),
      connection.onconnect((recovered) => {
        if (!recovered || this.#stale) void this.#reread();
      }),
    ];
  }

  onchange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    for (const off of this.#off) off();
    this.#listeners.clear();
  }

  /** Read the first page again; once more if something happened meanwhile. */
  async refresh(): Promise<void> {
    const number = ++this.#reading;
    do {
      this.#outdated = false;
      const page = await this.#api.chats(this.query, { limit: PAGE });
      if (number !== this.#reading) return;
      this.entries = page;
      this.more = page.length === PAGE;
      this.#tell();
    } while (this.#outdated);
  }

  async loadMore(): Promise<void> {
    const number = ++this.#reading;
    const page = await this.#api.chats(this.query, { skip: this.entries.length, limit: PAGE });
    if (number !== this.#reading) return;
    const known = new Set(this.entries.map((entry) => entry.id));
    this.entries = [...this.entries, ...page.filter((entry) => !known.has(entry.id))];
    this.more = page.length === PAGE;
    this.#tell();
  }

  /** Keep those whose title or messages contain a text; empty: all. */
  async search(query: string): Promise<void> {
    if (query === this.query) return;
    this.query = query;
    await this.refresh();
  }

  /** Say which chat is being looked at: nothing in it is unread. */
  look(id: string | null): void {
    this.#open = id;
    if (id !== null) this.#change(id, (entry) => ({ ...entry, last_read_at: now() }));
  }

  /** Whether something happened in it since it was read. */
  isUnread(entry: ChatEntry): boolean {
    return !entry.active && entry.id !== this.#open && entry.updated_at > entry.last_read_at;
  }

  async rename(id: string, title: string): Promise<void> {
    await this.#api.updateChat(id, { title });
    this.#change(id, (entry) => ({ ...entry, title }));
  }

  async remove(id: string): Promise<void> {
    await this.#api.deleteChat(id);
    this.#drop(id);
  }

  /** Read of ourselves: nobody waits for it, and what fails is tried again. */
  async #reread(): Promise<void> {
    this.#stale = true;
    try {
      await this.refresh();
      this.#stale = false;
    } catch {
      // Without a connection the next one reads.
      if (!this.#closed && this.#connection.connected) {
        setTimeout(() => void this.#reread(), RETRY_MS);
      }
    }
  }

  #take({ chat_id: id, data }: ChatEvent): void {
    this.#outdated ||= LISTED.has(data.type);
    switch (data.type) {
      case 'chat:title':
        this.#change(id, (entry) => ({ ...entry, title: data.data }));
        break;
      case 'chat:tags':
        this.#change(id, (entry) => ({ ...entry, tags: data.data }));
        break;
      case 'chat:active': {
        const { active } = data.data;
        if (active && !this.entries.some((entry) => entry.id === id)) void this.#reread();
        else this.#change(id, (entry) => this.#touched(entry, active), active);
        break;
      }
      case 'chat:list':
        if (data.data.deleted) this.#drop(data.data.chat_id);
        else if (data.data.last_read_at !== undefined) {
          const { chat_id, last_read_at } = data.data;
          this.#change(chat_id, (entry) => ({ ...entry, last_read_at }));
        }
        break;
      default:
    }
  }

  #touched(entry: ChatEntry, active: boolean): ChatEntry {
    const read = entry.id === this.#open ? { last_read_at: now() } : {};
    return { ...entry, active, updated_at: now(), ...read };
  }

  #change(id: string, change: (entry: ChatEntry) => ChatEntry, toTop = false): void {
    const entry = this.entries.find((each) => each.id === id);
    if (!entry) return;
    const changed = change(entry);
    this.entries = toTop
      ? [changed, ...this.entries.filter((each) => each !== entry)]
      : this.entries.map((each) => (each === entry ? changed : each));
    this.#tell();
  }

  #drop(id: string): void {
    this.entries = this.entries.filter((entry) => entry.id !== id);
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
