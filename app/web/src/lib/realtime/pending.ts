/**
 * What was typed and not yet acknowledged, kept across reloads and crashes of the tab.
 *
 * One entry a document and user, a Yjs update of everything that the server may lack; several
 * tabs merge into the same entry. Kept in IndexedDB; where there is none (private windows of some
 * browsers), nothing survives the tab, and {@link PendingUpdates} works as if it were empty.
 */

import { createStore, del, get, update, type UseStore } from 'idb-keyval';
import * as Y from 'yjs';

export class PendingUpdates {
  readonly #key: string;
  readonly #store: UseStore | null;

  constructor(userId: string, documentId: string) {
    this.#key = `${userId}/${documentId}`;
    this.#store = typeof indexedDB === 'undefined' ? null : createStore('heliograph', 'pending');
  }

  /** What an earlier tab left, or null. */
  async load(): Promise<Uint8Array | null> {
    if (!this.#store) return null;
    return (await get<Uint8Array>(this.#key, this.#store)) ?? null;
  }

  /** Keep an update too. */
  async add(change: Uint8Array): Promise<void> {
    if (!this.#store) return;
    await update<Uint8Array>(
      this.#key,
      (kept) => (kept ? Y.mergeUpdates([kept, change]) : change),
      this.#store,
    );
  }

  /** Everything has been acknowledged. */
  async clear(): Promise<void> {
    if (this.#store) await del(this.#key, this.#store);
  }
}
