// The messages of one channel as one client saw them, and what was wrong with that.
//
// Everybody sees every message once and in one order, or has read it.

export class Posts {
  /** @param wrong (kind, details) => void: told each thing that must not be */
  constructor(wrong) {
    this.wrong = wrong;
    this.seen = []; // ids, in the order seen
    this.had = new Set();
    this.wasRead = new Set();
  }

  /** Take one of `events:channel`. */
  take(event) {
    if (event.data.type !== 'message') return;
    const id = event.message_id ?? event.data.data.id;
    if (!this.had.has(id)) {
      this.had.add(id);
      this.seen.push(id);
    } else if (!this.wasRead.has(id)) this.wrong('channelDoubles', { id });
  }

  /** Take what was read: all ids, oldest first. */
  read(ids) {
    this.seen = [...ids];
    this.had = new Set(ids);
    this.wasRead = new Set(ids);
  }

  /** Compare with what the server has, and with the posts that it acknowledged. */
  compare(stored, acknowledged) {
    const known = new Set(stored);
    for (const id of stored) if (!this.had.has(id)) this.wrong('channelLost', { id });
    for (const id of acknowledged) {
      if (!known.has(id)) this.wrong('channelLost', { id, stored: false });
    }
    const order = this.seen.filter((id) => known.has(id));
    const sorted = stored.filter((id) => this.had.has(id));
    if (order.join() !== sorted.join()) this.wrong('channelDisorder', {});
  }
}
