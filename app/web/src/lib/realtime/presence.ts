/**
 * Who else is in a document, and where their cursors are: y-protocols' awareness over the socket.
 *
 * The server writes who each state is of (`user.id`, `user.name`); what a state says of its user
 * can be believed. Own moves are sent at most every {@link SEND_EVERY_MS}. When the connection
 * breaks, the others vanish here as we vanish there; on the return our state is shown under a newer
 * clock than the one it vanished with.
 */

import {
  applyAwarenessUpdate,
  Awareness,
  encodeAwarenessUpdate,
  removeAwarenessStates,
} from 'y-protocols/awareness';
import type { Doc } from 'yjs';
import type { Connection } from './connection';
import type { DocumentUpdate, Person } from './contract';

const SEND_EVERY_MS = 50;

interface Changes {
  added: number[];
  updated: number[];
  removed: number[];
}

export class Presence {
  readonly awareness: Awareness;
  /** Called when somebody came, went, or moved. */
  onchange: (() => void) | null = null;

  readonly #connection: Connection;
  readonly #documentId: string;
  readonly #off: () => void;
  #shown = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #moved = false;

  constructor(connection: Connection, documentId: string, doc: Doc) {
    this.#connection = connection;
    this.#documentId = documentId;
    this.awareness = new Awareness(doc);
    this.awareness.on('update', this.#updated);
    this.awareness.on('change', this.#changed);
    this.#off = connection.on('ydoc:awareness:update', (event) => this.#receive(event));
  }

  /** Everybody in the document but this client, each person once. */
  get people(): Person[] {
    const found = new Map<string, Person>();
    for (const [client, state] of this.awareness.getStates()) {
      const { id, name } = (state['user'] ?? {}) as { id?: unknown; name?: unknown };
      if (client === this.awareness.clientID || typeof id !== 'string') continue;
      found.set(id, { id, name: typeof name === 'string' ? name : '' });
    }
    return [...found.values()];
  }

  /** We are in the document, for the first time or again. */
  show(): void {
    this.#shown = true;
    this.awareness.setLocalState(this.awareness.getLocalState() ?? {}); // under the next clock
  }

  /** We are out of it. */
  hide(): void {
    if (!this.#shown) return;
    this.#shown = false;
    const { awareness } = this;
    const others = [...awareness.getStates().keys()].filter((id) => id !== awareness.clientID);
    removeAwarenessStates(awareness, others, this);
    // Who has not moved comes back under the clock they had: forget it, or they are not shown.
    for (const id of others) awareness.meta.delete(id);
  }

  close(): void {
    this.#shown = false;
    clearTimeout(this.#timer);
    this.#off();
    this.awareness.off('update', this.#updated);
    this.awareness.off('change', this.#changed);
    this.awareness.destroy();
  }

  #receive({ document_id, update }: DocumentUpdate): void {
    if (document_id !== this.#documentId) return;
    applyAwarenessUpdate(this.awareness, new Uint8Array(update), this);
  }

  readonly #changed = (): void => this.onchange?.();

  readonly #updated = ({ added, updated, removed }: Changes, origin: unknown): void => {
    if (origin === this) return;
    if ([...added, ...updated, ...removed].includes(this.awareness.clientID)) this.#send();
  };

  #send(): void {
    if (!this.#shown) return;
    if (this.#timer !== undefined) {
      this.#moved = true;
      return;
    }
    this.#connection.send('ydoc:awareness:update', {
      document_id: this.#documentId,
      update: encodeAwarenessUpdate(this.awareness, [this.awareness.clientID]),
    });
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#moved) return;
      this.#moved = false;
      this.#send();
    }, SEND_EVERY_MS);
  }
}
