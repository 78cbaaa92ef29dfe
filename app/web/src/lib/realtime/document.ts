/**
 * One Yjs document, kept the same as the server's: the provider of an editor.
 *
 *     const doc = new Y.Doc();
 *     const provider = new DocumentProvider(connection, `note:${id}`, doc, { userId });
 *     provider.onchange(() => show(provider.status, provider.unacknowledged));
 *     // once provider.ready: bind an editor to doc.getXmlFragment('prosemirror')
 *
 * Guarantees: what is changed here is sent in order, merged, one update at a time, and kept until
 * it is acknowledged: across broken connections, killed servers, and reloads of the tab (see
 * pending.ts). `status` is `synced` only when the server's log has everything and this document
 * has everything the server had at the time of joining; what others do comes from then on.
 *
 * An editor may be bound once `ready`: before that the document is empty, and an editor that
 * fills an empty document would do so in everybody's. Nothing here ever writes into it.
 *
 * A part of its own, not in index.ts: who imports this loads Yjs.
 */

import * as Y from 'yjs';
import { Refused, type Connection } from './connection';
import type { Person, RefusalPayload } from './contract';
import { Outbox, type Batch } from './outbox';
import { PendingUpdates } from './pending';
import { Presence } from './presence';

export type DocumentStatus =
  /** The server is being asked for the document, for the first time or again. */
  | 'joining'
  | 'synced'
  /** Changes are on their way. */
  | 'saving'
  /** There is no connection; changes are kept here. */
  | 'offline'
  /** See {@link DocumentProvider.end}. */
  | 'ended';

/** Why nothing is sent and nothing comes any more. `code` is one of the client guide's. */
export interface DocumentEnd {
  code: string;
  message: string;
}

export interface DocumentOptions {
  /** Whose changes are kept in this browser. */
  userId: string;
  /** `#rrggbb`, for the others to know us by. */
  color?: string;
  /** Known to be read-only: what a careless editor changes is not sent. */
  readOnly?: boolean;
}

const FIRST_RETRY_MS = 1_000;
const MOST_RETRY_MS = 30_000;

export class DocumentProvider {
  readonly documentId: string;
  readonly doc: Y.Doc;
  end: DocumentEnd | null = null;
  /** Whether the document has been joined once: there is something to show. */
  ready = false;
  /** Sessions in the document, this one included, on all replicas. */
  sessions: string[] = [];

  readonly #connection: Connection;
  readonly #color: string | undefined;
  readonly #pending: PendingUpdates;
  readonly #outbox: Outbox;
  readonly #presence: Presence;
  readonly #listeners = new Set<() => void>();
  readonly #off: (() => void)[];
  #loaded = false; // whether what an earlier tab left is here
  #joined = false;
  #attempt = 0; // number of the newest try to join: answers to older ones are late
  #sending = false;
  #whole = false; // whether the whole state is to be sent, see `missing_dependencies`
  #healing = false;
  #readOnly: boolean;
  #retryMs = FIRST_RETRY_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /**
   * @param documentId `note:{id}` for a note
   * @param doc may have content already, from an earlier visit: the server gets what it lacks
   */
  constructor(
    connection: Connection,
    documentId: string,
    doc: Y.Doc,
    { userId, color, readOnly = false }: DocumentOptions,
  ) {
    this.#connection = connection;
    this.documentId = documentId;
    this.doc = doc;
    this.#color = color;
    this.#readOnly = readOnly;
    this.#pending = new PendingUpdates(userId, documentId);
    this.#pending.onfailure = () => this.#tell();
    this.#outbox = new Outbox(this.#pending);
    this.#presence = new Presence(connection, documentId, doc);
    this.#presence.onchange = () => this.#tell();
    if (doc.store.clients.size > 0) this.#outbox.add(Y.encodeStateAsUpdate(doc));
    doc.on('update', this.#changed);
    const ours = (event: { document_id: string }) => event.document_id === documentId;
    this.#off = [
      connection.on('ydoc:document:state', (event) => {
        if (ours(event)) this.#receive(event.state, event.sessions);
      }),
      connection.on('ydoc:document:update', (event) => {
        if (ours(event)) this.#receive(event.update);
      }),
      connection.on('ydoc:user:joined', (event) => {
        if (ours(event)) this.#setSessions([...this.sessions, event.session_id]);
      }),
      connection.on('ydoc:user:left', (event) => {
        if (ours(event)) this.#setSessions(this.sessions.filter((id) => id !== event.session_id));
      }),
      connection.onrefusal((refusal) => this.#refusedUnasked(refusal)),
      connection.onconnect(() => void this.#join()),
      connection.onstate(({ status }) => {
        if (status !== 'connected') this.#lost();
      }),
    ];
    void this.#adopt();
    if (connection.connected) void this.#join();
  }

  get status(): DocumentStatus {
    if (this.end) return 'ended';
    if (!this.#joined || !this.#loaded) {
      const { status } = this.#connection.state;
      return status === 'connected' || status === 'connecting' ? 'joining' : 'offline';
    }
    return this.unacknowledged > 0 && !this.#readOnly ? 'saving' : 'synced';
  }

  /** How many changes the server has not acknowledged; `unacknowledgedBytes` together. */
  get unacknowledged(): number {
    return this.#outbox.count;
  }

  get unacknowledgedBytes(): number {
    return this.#outbox.bytes;
  }

  /** Whether those survive the tab. */
  get durable(): boolean {
    return this.#pending.durable;
  }

  /** Whether the server takes no changes of ours. What it refused stays until {@link discard}. */
  get readOnly(): boolean {
    return this.#readOnly;
  }

  /** The others in the document, each once. */
  get people(): Person[] {
    return this.#presence.people;
  }

  /** For an editor's cursors; the server writes `user.id` and `user.name` of each state. */
  get awareness(): Presence['awareness'] {
    return this.#presence.awareness;
  }

  /** Called when anything of the above has changed. */
  onchange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Somebody else knows whether we may write, from the document's grants. */
  setReadOnly(readOnly: boolean): void {
    if (this.#readOnly === readOnly) return;
    this.#readOnly = readOnly;
    this.#tell();
    void this.#flush();
  }

  /** Give up what is not acknowledged. The document still shows it: open a new one afterwards. */
  async discard(): Promise<void> {
    this.#outbox.clear();
    this.#tell();
    await this.#pending.flush();
  }

  /** Leave the document; what is not acknowledged is kept for the next one who opens it. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stop();
    this.#presence.close();
    this.doc.off('update', this.#changed);
    for (const off of this.#off) off();
    this.#listeners.clear();
    this.#connection.send('ydoc:document:leave', { document_id: this.documentId });
    await this.#pending.close();
  }

  // -- joining -------------------------------------------------------------------------

  /** Take up what an earlier tab left, whether or not the server can be reached. */
  async #adopt(): Promise<void> {
    const records = await this.#pending.load();
    if (this.#closed) return;
    for (const { update } of records) Y.applyUpdate(this.doc, update, this);
    this.#outbox.adopt(records);
    this.#loaded = true;
    this.#tell();
    void this.#flush();
  }

  /**
   * Join, also after a recovery: it costs one small message, brings what is missing and the
   * cursors of the others, and is right in every case.
   */
  async #join(): Promise<void> {
    if (this.#closed || this.end) return;
    clearTimeout(this.#timer);
    const attempt = ++this.#attempt;
    try {
      const { sessions } = await this.#connection.request('ydoc:document:join', {
        document_id: this.documentId,
        state_vector: Y.encodeStateVector(this.doc),
        ...(this.#color === undefined ? {} : { user_color: this.#color }),
      });
      if (attempt !== this.#attempt || this.#closed) return;
      // The state came as an event before this acknowledgement.
      this.#joined = true;
      this.ready = true;
      this.sessions = sessions;
      this.#presence.show();
      this.#tell();
      void this.#flush();
    } catch (error) {
      if (attempt === this.#attempt) this.#refused(error);
    }
  }

  #lost(): void {
    this.#attempt += 1;
    this.#joined = false;
    clearTimeout(this.#timer);
    this.#presence.hide();
    this.#setSessions([]);
  }

  #rejoin(): void {
    this.#lost();
    if (this.#connection.connected) void this.#join();
  }

  // -- receiving -----------------------------------------------------------------------

  #receive(update: ArrayBuffer | Uint8Array | number[], sessions?: string[]): void {
    Y.applyUpdate(this.doc, new Uint8Array(update), this);
    if (sessions) this.#setSessions(sessions);
    // Something before it has not come: ask for what is missing.
    if (this.doc.store.pendingStructs !== null && this.#joined) void this.#heal();
  }

  async #heal(): Promise<void> {
    if (this.#healing) return;
    this.#healing = true;
    try {
      const asked = { document_id: this.documentId, state_vector: Y.encodeStateVector(this.doc) };
      await this.#connection.request('ydoc:document:state', asked); // comes as an event
    } catch (error) {
      this.#refused(error);
    } finally {
      this.#healing = false;
    }
  }

  // -- sending -------------------------------------------------------------------------

  readonly #changed = (update: Uint8Array, origin: unknown): void => {
    if (origin === this || this.#readOnly || this.end) return;
    this.#outbox.add(update);
    this.#tell();
    void this.#flush();
  };

  async #flush(): Promise<void> {
    while (this.#joined && this.#loaded && !this.#sending && !this.#readOnly && !this.end) {
      const batch: Batch | null = this.#whole
        ? this.#outbox.all(Y.encodeStateAsUpdate(this.doc))
        : this.#outbox.next();
      if (!batch) return;
      this.#sending = true;
      try {
        await this.#connection.request('ydoc:document:update', {
          document_id: this.documentId,
          update: batch.update,
        });
        this.#outbox.acknowledge(batch);
        this.#whole = false;
        this.#retryMs = FIRST_RETRY_MS;
      } catch (error) {
        this.#refused(error, batch);
      } finally {
        this.#sending = false;
      }
      this.#tell();
    }
  }

  // -- refusals ------------------------------------------------------------------------

  /** The table of docs/documents.md. Nothing is dropped here. */
  #refused(error: unknown, batch?: Batch): void {
    if (this.#closed || this.end) return;
    const { code, message } =
      error instanceof Refused ? error : { code: 'error', message: String(error) };
    switch (code) {
      case 'not_connected':
        break; // the next connection joins and sends again
      case 'not_joined':
        this.#rejoin();
        break;
      case 'read_only':
        this.#readOnly = true;
        break;
      case 'missing_dependencies':
        if (batch?.whole) this.#endWith({ code, message });
        else this.#whole = true;
        break;
      case 'no_answer':
      case 'rate_limited':
      case 'unavailable':
      case 'draining':
      case 'internal':
        this.#retryLater();
        break;
      default: // bad_update, too_large, not_found …: it will never be taken
        this.#endWith({ code, message });
    }
    this.#tell();
  }

  #refusedUnasked({ event, code, message, document_id }: RefusalPayload): void {
    if (event === null && document_id === this.documentId) {
      if (code === 'document_deleted') this.#outbox.clear(); // there is nothing to add it to
      this.#endWith({ code, message });
    } else if (event === 'ydoc:awareness:update' && code === 'not_joined' && this.#joined) {
      this.#rejoin(); // of this document or of another one: to join again is harmless
    }
  }

  #retryLater(): void {
    this.#lost();
    const delay = this.#retryMs;
    this.#retryMs = Math.min(MOST_RETRY_MS, delay * 2);
    this.#timer = setTimeout(() => {
      if (this.#connection.connected) void this.#join();
    }, delay);
  }

  #endWith(end: DocumentEnd): void {
    if (this.end || this.#closed) return;
    this.end = end;
    this.#stop();
    this.#tell();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#attempt += 1;
    this.#joined = false;
    this.#presence.hide();
  }

  #setSessions(sessions: string[]): void {
    this.sessions = [...new Set(sessions)];
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
