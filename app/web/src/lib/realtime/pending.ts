/**
 * Updates of a document that the server has not acknowledged, kept across reloads and crashes.
 *
 * One record an update, in IndexedDB, under (user, document, tab, number). A record never changes:
 * it is written once, and removed by whoever knows that the server has it. So several tabs of one
 * person cannot spoil each other's: a tab that opens the document adopts what it finds, sends it,
 * and removes exactly those records; that another tab may send the same is harmless to Yjs.
 *
 * Guarantee: a record that is older than {@link WRITE_AFTER_MS} survives the tab. What is
 * acknowledged sooner is never written. Limit: where there is no IndexedDB, or no room in it,
 * {@link PendingUpdates.durable} is false and nothing survives.
 */

import { createStore, promisifyRequest, type UseStore } from 'idb-keyval';
import { newId } from './ids';

/** User, document, tab, number within the tab: records of a tab come back in their order. */
export type PendingKey = [user: string, document: string, tab: string, number: number];

export interface PendingRecord {
  key: PendingKey;
  update: Uint8Array;
  /** Changes of the document that are in it. */
  count: number;
}

const WRITE_AFTER_MS = 50;
const LOAD_WITHIN_MS = 3_000;

export class PendingUpdates {
  readonly #user: string;
  readonly #document: string;
  readonly #tab = newId();
  readonly #abort = new AbortController();
  #store: UseStore | null = null;
  #number = 0;
  #puts = new Map<number, PendingRecord>(); // ours, by number
  #deletes: PendingKey[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** Called when {@link durable} becomes false. */
  onfailure: (() => void) | null = null;

  constructor(userId: string, documentId: string) {
    this.#user = userId;
    this.#document = documentId;
    if (typeof indexedDB !== 'undefined') this.#store = createStore('heliograph', 'pending');
    if (typeof window === 'undefined') return;
    const { signal } = this.#abort;
    window.addEventListener('pagehide', () => void this.flush(), { signal });
  }

  /** Whether what is kept survives the tab. */
  get durable(): boolean {
    return this.#store !== null;
  }

  /** What other tabs have left, or still have; in the order in which each of them made it. */
  async load(): Promise<PendingRecord[]> {
    const store = this.#store;
    if (!store) return [];
    const reading = store('readonly', async (records) => {
      const range = IDBKeyRange.bound(
        [this.#user, this.#document],
        [this.#user, this.#document, []],
      );
      const [keys, values] = await Promise.all([
        promisifyRequest(records.getAllKeys(range)),
        promisifyRequest<Omit<PendingRecord, 'key'>[]>(records.getAll(range)),
      ]);
      return values.map((value, index) => ({ ...value, key: keys[index] as PendingKey }));
    });
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error('IndexedDB does not answer')), LOAD_WITHIN_MS);
    });
    try {
      return await Promise.race([reading, late]);
    } catch {
      this.#fail();
      return [];
    }
  }

  /** Keep an update of `count` changes; returns the key it is removed by. */
  put(update: Uint8Array, count: number): PendingKey {
    const number = ++this.#number;
    const key: PendingKey = [this.#user, this.#document, this.#tab, number];
    if (this.#store) {
      this.#puts.set(number, { key, update, count });
      this.#later();
    }
    return key;
  }

  /** The server has these, whichever tab they are of. */
  remove(keys: readonly PendingKey[]): void {
    if (!this.#store) return;
    for (const key of keys) {
      const unwritten = key[2] === this.#tab && this.#puts.delete(key[3]);
      if (!unwritten) this.#deletes.push(key);
    }
    if (this.#deletes.length > 0) this.#later();
  }

  /** Write now; resolves when everything so far is written. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const puts = [...this.#puts.values()];
    const deletes = this.#deletes;
    const store = this.#store;
    if (store && puts.length + deletes.length > 0) {
      this.#puts = new Map();
      this.#deletes = [];
      // Transactions of one store run in the order in which they were made.
      const written = store('readwrite', (records) => {
        for (const { key, update, count } of puts) records.put({ update, count }, key);
        for (const key of deletes) records.delete(key);
        return promisifyRequest(records.transaction);
      });
      this.#writing = Promise.all([this.#writing, written]).then(
        () => undefined,
        () => this.#fail(),
      );
    }
    await this.#writing;
  }

  /** Stop; what is kept stays. */
  async close(): Promise<void> {
    this.#abort.abort();
    await this.flush();
  }

  #later(): void {
    this.#timer ??= setTimeout(() => void this.flush(), WRITE_AFTER_MS);
  }

  #fail(): void {
    if (!this.#store) return;
    this.#store = null;
    this.#puts.clear();
    this.onfailure?.();
  }
}
