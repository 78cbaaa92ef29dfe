/** Messages as rows: which begin a day, which go on with what their author said before. */

import type { FeedEntry } from '$lib/realtime';

export interface Row {
  entry: FeedEntry;
  /** The first of a group: with the author's name and picture. */
  head: boolean;
  /** What the line above it says: the day it begins; empty: none. */
  day: string;
  /** The first one that had not been read. */
  fresh: boolean;
  /** Milliseconds since 1970. */
  at: number;
}

const TOGETHER_MS = 5 * 60_000;

const days = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const years = new Intl.DateTimeFormat(undefined, { dateStyle: 'long' });

/**
 * @param line see ReadMark: others' messages after it are new
 * @param more whether there are older ones that are not among them
 */
export function rowsOf(
  entries: readonly FeedEntry[],
  line: number | null,
  more: boolean,
  userId: string,
): Row[] {
  const isHere =
    line !== null && (!more || entries.some((each) => each.message.created_at <= line));
  const first = isHere
    ? entries.find(({ message }) => message.created_at > line && message.user_id !== userId)
    : undefined;
  let before: Row | null = null;
  return entries.map((entry): Row => {
    const { message } = entry;
    const at = message.created_at / 1_000_000;
    const fresh = entry === first;
    const sameDay: boolean = before !== null && dayOf(before.at) === dayOf(at);
    const goesOn: boolean =
      before !== null &&
      sameDay &&
      !fresh &&
      before.entry.message.user_id === message.user_id &&
      at - before.at < TOGETHER_MS;
    before = { entry, head: !goesOn, day: sameDay ? '' : nameOf(at), fresh, at };
    return before;
  });
}

function dayOf(at: number): string {
  return new Date(at).toDateString();
}

function nameOf(at: number): string {
  const now = new Date();
  if (dayOf(at) === now.toDateString()) return 'Today';
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (dayOf(at) === yesterday.toDateString()) return 'Yesterday';
  return new Date(at).getFullYear() === now.getFullYear() ? days.format(at) : years.format(at);
}
