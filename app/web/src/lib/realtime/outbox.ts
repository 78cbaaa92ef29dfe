/**
 * What was changed in a document and not acknowledged yet: in order, in memory and on the disk.
 *
 * {@link Outbox.next} merges what waits into one update of bounded size; the caller sends it, one
 * at a time, and says when it is acknowledged. Until then everything stays, to be sent again.
 */

import { mergeUpdates } from 'yjs';
import type { PendingKey, PendingRecord, PendingUpdates } from './pending';

/** Updates on their way together. */
export interface Batch {
  update: Uint8Array;
  /** Whether it is the whole state of the document. */
  whole: boolean;
  records: readonly PendingRecord[];
}

/** A server takes 4 MiB at once; smaller ones let others' come between. */
const BATCH_BYTES = 1024 * 1024;
const COMPACT_AT = 200;
const COMPACT_BYTES = 256 * 1024;

export class Outbox {
  #records: PendingRecord[] = [];
  readonly #pending: PendingUpdates;

  constructor(pending: PendingUpdates) {
    this.#pending = pending;
  }

  /** Changes that are not acknowledged. */
  get count(): number {
    return this.#records.reduce((sum, record) => sum + record.count, 0);
  }

  get bytes(): number {
    return size(this.#records);
  }

  /** A change made here. */
  add(update: Uint8Array): void {
    this.#records.push({ key: this.#pending.put(update, 1), update, count: 1 });
    if (this.#records.length > COMPACT_AT) this.#compact();
  }

  /** Changes that an earlier tab left: they are older than everything here. */
  adopt(records: readonly PendingRecord[]): void {
    this.#records = [...records, ...this.#records];
  }

  /** The next to send, or null. */
  next(): Batch | null {
    const [first, ...rest] = this.#records;
    if (!first) return null;
    const records = [first];
    let bytes = first.update.byteLength;
    for (const record of rest) {
      bytes += record.update.byteLength;
      if (bytes > BATCH_BYTES) break;
      records.push(record);
    }
    return { update: merged(records), whole: false, records };
  }

  /** Everything that waits, sent as the whole state of the document. */
  all(state: Uint8Array): Batch {
    return { update: state, whole: true, records: [...this.#records] };
  }

  /** The server has these. */
  acknowledge({ records }: Batch): void {
    const done = new Set(records);
    this.#records = this.#records.filter((record) => !done.has(record));
    this.#pending.remove(records.map((record) => record.key));
  }

  /** Give up on everything. */
  clear(): void {
    this.#pending.remove(this.#records.map((record) => record.key));
    this.#records = [];
  }

  /**
   * Many small records into a few, so that hours of typing without a connection stay cheap. What is
   * on its way meanwhile is sent once more, which is harmless.
   */
  #compact(): void {
    const groups: PendingRecord[][] = [];
    for (const record of this.#records) {
      const last = groups.at(-1);
      if (last && size(last) + record.update.byteLength <= COMPACT_BYTES) last.push(record);
      else groups.push([record]);
    }
    const replaced: PendingKey[] = [];
    this.#records = groups.map((group) => {
      const [only] = group;
      if (only && group.length === 1) return only;
      const update = merged(group);
      const count = group.reduce((sum, record) => sum + record.count, 0);
      replaced.push(...group.map((record) => record.key));
      return { key: this.#pending.put(update, count), update, count };
    });
    this.#pending.remove(replaced);
  }
}

function size(records: readonly PendingRecord[]): number {
  return records.reduce((sum, record) => sum + record.update.byteLength, 0);
}

function merged(records: readonly PendingRecord[]): Uint8Array {
  const [only] = records;
  if (only && records.length === 1) return only.update;
  return mergeUpdates(records.map((record) => record.update));
}
