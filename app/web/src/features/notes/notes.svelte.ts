/**
 * The person's notes as the side bar shows them: their own, and those shared with them.
 *
 * No event tells of notes that are not open, so the list is read again when somebody looks at it:
 * when its section is entered, when the tab or the connection comes back, and now and then. What
 * happens to the open note is shown at once.
 */

import type { Note } from '$lib/realtime';
import { router } from '$state/router.svelte';
import type { Session } from '$state/session.svelte';
import { toasts } from '$state/toasts.svelte';

const PAGE = 100;
const REFRESH_MS = 30_000;

class Notes {
  /** The last changed first. */
  entries: Note[] = $state.raw([]);
  phase: 'loading' | 'ready' | 'failed' = $state('loading');
  creating = $state(false);
  /** The note that was made here a moment ago: its title wants to be written. */
  fresh: string | null = null;
  #session: Session | null = null;
  #reading = 0; // number of the newest reading: older ones that come late are dropped

  /** Keep the list current while it is shown; returns the end of that. */
  follow(session: Session): () => void {
    if (session !== this.#session) {
      this.#session = session;
      this.entries = [];
      this.phase = 'loading';
    }
    const look = () => {
      if (document.visibilityState === 'visible') void this.refresh();
    };
    const timer = setInterval(look, REFRESH_MS);
    document.addEventListener('visibilitychange', look);
    const off = session.connection.onconnect(look);
    void this.refresh();
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', look);
      off();
    };
  }

  async refresh(): Promise<void> {
    const { api } = this.#session ?? {};
    if (!api) return;
    const number = ++this.#reading;
    try {
      const found: Record<string, Note> = {}; // a note that moves meanwhile may come twice
      for (let skip = 0; ; skip += PAGE) {
        const page = await api.notes({ skip, limit: PAGE });
        if (number !== this.#reading) return;
        for (const note of page) found[note.id] = note;
        if (page.length < PAGE) break;
      }
      this.#set(Object.values(found));
      this.phase = 'ready';
    } catch {
      if (number === this.#reading && this.phase === 'loading') this.phase = 'failed';
    }
  }

  /** A new note, opened. */
  async create(): Promise<void> {
    if (!this.#session || this.creating) return;
    this.creating = true;
    try {
      const note = await this.#session.api.createNote('');
      this.put(note);
      this.fresh = note.id;
      router.go(`/notes/${note.id}`);
    } catch (error) {
      toasts.error('The note was not made', error);
    } finally {
      this.creating = false;
    }
  }

  /** Those whose title or text contains every word. */
  search(query: string): Note[] {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0) return this.entries;
    return this.entries.filter((note) => {
      const text = `${note.title}\n${note.data.content.md}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  /** A note as it is now. */
  put(note: Note): void {
    this.#reading += 1; // what is being read may be older
    this.#set([note, ...this.entries.filter((each) => each.id !== note.id)]);
  }

  /** What the open note says now. */
  say(id: string, md: string): void {
    const note = this.entries.find((each) => each.id === id);
    if (note) this.put({ ...note, data: { content: { md } }, updated_at: Date.now() * 1e6 });
  }

  drop(id: string): void {
    this.#reading += 1;
    this.#set(this.entries.filter((note) => note.id !== id));
  }

  #set(notes: Note[]): void {
    this.entries = notes.sort((one, other) => other.updated_at - one.updated_at);
  }
}

export const notes = new Notes();

/** The title for people: an untitled note has one, too. */
export function titleOf({ title }: { title: string }): string {
  return title.trim() || 'Untitled';
}

/** The beginning of a note's text without the signs of Markdown. */
export function beginning({ data }: Note, length = 160): string {
  return data.content.md
    .slice(0, length * 4)
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/^\s*(#{1,6}|>|[-*+]|\d+\.|```\S*)\s+/gm, '')
    .replace(/[*_`~\\]+/g, '')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, length);
}
