/**
 * The note that is being looked at: its title and grants over HTTP and `note-events`, its text
 * through a document provider, as reactive state.
 *
 * A note that is closed with changes the server has not acknowledged keeps its provider until it
 * has (finishing.ts), so that they are sent from any other view, too.
 */

import * as Y from 'yjs';
import type { Grant, Note, Person } from '$lib/realtime';
import { DocumentProvider, type DocumentEnd, type DocumentStatus } from '$lib/realtime/document';
import { colourOf } from '$lib/ui';
import type { Session } from '$state/session.svelte';
import { toasts } from '$state/toasts.svelte';
import { finish, takeUp } from './finishing';
import { notes } from './notes.svelte';

export class OpenNote {
  readonly id: string;
  phase: 'loading' | 'ready' | 'gone' | 'failed' = $state('loading');
  failure = $state('');
  note: Note | null = $state.raw(null);
  provider: DocumentProvider | null = $state.raw(null);

  // Mirrors of the provider.
  status: DocumentStatus = $state('joining');
  /** Whether there is a text to show. */
  ready = $state(false);
  unacknowledged = $state(0);
  durable = $state(true);
  readOnly = $state(false);
  end: DocumentEnd | null = $state.raw(null);
  people: Person[] = $state.raw([]);

  /** May share and delete it. */
  readonly mine: boolean = $derived.by(
    () => this.note?.user_id === this.#session.user.id || this.#session.user.role === 'admin',
  );
  readonly title: string = $derived.by(() => this.#wantedTitle ?? this.note?.title ?? '');

  readonly #session: Session;
  readonly #off: (() => void)[] = [];
  #wantedTitle: string | null = $state(null); // until the server has it
  #offProvider: (() => void) | null = null;
  #closed = false;

  constructor(session: Session, id: string) {
    this.#session = session;
    this.id = id;
  }

  async open(): Promise<void> {
    const { connection } = this.#session;
    this.#off.push(
      connection.on('note-events', (event) => {
        if (event.id === this.id) this.#take(event);
      }),
      connection.onconnect(() => {
        void this.#follow();
        if (this.#wantedTitle !== null) void this.rename(this.#wantedTitle);
      }),
    );
    await this.#follow();
  }

  close(): void {
    this.#closed = true;
    for (const off of this.#off) off();
    this.#letGo();
  }

  /** Open it once more, after it has ended. */
  async reopen(): Promise<void> {
    this.#letGo();
    this.provider = null;
    this.end = null;
    this.phase = 'loading';
    await this.#follow();
  }

  /** Give up what the server has refused. */
  async discard(): Promise<void> {
    await this.provider?.discard();
    await this.reopen();
  }

  /** Keeps the title and tries again when the connection is back, if it must. */
  async rename(title: string): Promise<void> {
    if (title === this.note?.title) {
      this.#wantedTitle = null;
      return;
    }
    this.#wantedTitle = title;
    try {
      const note = await this.#session.api.renameNote(this.id, title);
      if (this.#wantedTitle === title) this.#wantedTitle = null;
      this.#adopt(note);
    } catch (error) {
      if ((error as { code?: string }).code === 'unreachable') return;
      this.#wantedTitle = null;
      toasts.error('The title was not saved', error);
    }
  }

  /** Let exactly these people in. */
  async share(grants: Grant[]): Promise<void> {
    this.#adopt(await this.#session.api.shareNote(this.id, grants));
  }

  /** Enter the room of the note and read it. */
  async #follow(): Promise<void> {
    const { connection, api } = this.#session;
    try {
      if (connection.connected) await connection.request('join-note', { note_id: this.id });
      const note = await api.note(this.id);
      if (this.#closed) return;
      this.#adopt(note);
      if (!this.provider) this.#edit(note);
      this.phase = 'ready';
    } catch (error) {
      if (this.#closed) return;
      const { code } = error as { code?: string };
      if (code === 'not_found' || code === 'bad_payload') {
        notes.drop(this.id);
        if (this.phase === 'loading') this.phase = 'gone';
      } else if (this.phase === 'loading') {
        this.phase = 'failed'; // the next connection tries again
        this.failure = error instanceof Error ? error.message : String(error);
      }
    }
  }

  #take(event: Partial<Note> & { id: string; deleted?: boolean }): void {
    if (event.deleted) {
      notes.drop(this.id); // the document ends by itself
      return;
    }
    if (this.note) this.#adopt({ ...this.note, ...event, write_access: this.#mayWrite(event) });
  }

  /** Events are for everybody in the room: what we may is to be seen from the grants. */
  #mayWrite({ user_id, access_grants = [] }: Partial<Note>): boolean {
    const { id, role } = this.#session.user;
    return (
      user_id === id ||
      role === 'admin' ||
      access_grants.some((grant) => grant.principal_id === id && grant.permission === 'write')
    );
  }

  #adopt(note: Note): void {
    this.note = note;
    this.provider?.setReadOnly(!note.write_access);
    notes.put(note);
  }

  #edit({ write_access }: Note): void {
    const { user, connection } = this.#session;
    const documentId = `note:${this.id}`;
    const provider =
      takeUp(this.#session, documentId) ??
      new DocumentProvider(connection, documentId, new Y.Doc(), {
        userId: user.id,
        color: colourOf(user.id),
        readOnly: !write_access,
      });
    provider.setReadOnly(!write_access);
    this.provider = provider;
    const show = () => {
      this.status = provider.status;
      this.ready = provider.ready;
      this.unacknowledged = provider.unacknowledged;
      this.durable = provider.durable;
      this.readOnly = provider.readOnly;
      this.end = provider.end;
      this.people = provider.people;
    };
    this.#offProvider = provider.onchange(show);
    show();
  }

  #letGo(): void {
    this.#offProvider?.();
    if (this.provider) finish(this.#session, this.provider);
  }
}
