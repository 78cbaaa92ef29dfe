import { expect, test } from 'vitest';
import { excerpt } from '$features/channels/excerpt';
import { rowsOf } from '$features/channels/rows';
import { BlockList } from '$lib/markdown/blocks';
import type { FeedEntry } from '$lib/realtime';

const NOON = new Date(2025, 5, 10, 12).getTime();
const MINUTE = 60_000;

function entry(userId: string, at: number): FeedEntry {
  const user = { id: userId, name: userId };
  const message = { id: `${userId} ${at}`, user_id: userId, user, created_at: at * 1_000_000 };
  return { key: message.id, message, state: 'sent' } as unknown as FeedEntry;
}

test('messages of one author within five minutes are a group', () => {
  const entries = [
    entry('ann', NOON),
    entry('ann', NOON + MINUTE),
    entry('ben', NOON + 2 * MINUTE),
    entry('ann', NOON + 3 * MINUTE),
    entry('ann', NOON + 30 * MINUTE),
  ];
  const heads = rowsOf(entries, null, false, 'me').map((row) => row.head);
  expect(heads).toEqual([true, false, true, true, true]);
});

test('a day begins once, and begins a group', () => {
  const night = NOON + 12 * 60 * MINUTE;
  const rows = rowsOf(
    [entry('ann', night - MINUTE), entry('ann', night + MINUTE)],
    null,
    false,
    '',
  );
  expect(rows.map((row) => row.day !== '')).toEqual([true, true]);
  expect(rows[0]?.day).not.toBe(rows[1]?.day);
  expect(rows[1]?.head).toBe(true);
});

test('the line is above the first message of others that had not been read', () => {
  const entries = [
    entry('ann', NOON),
    entry('me', NOON + MINUTE),
    entry('ann', NOON + 2 * MINUTE),
    entry('ann', NOON + 3 * MINUTE),
  ];
  const fresh = (line: number | null, more: boolean) =>
    rowsOf(entries, line, more, 'me').findIndex((row) => row.fresh);
  expect(fresh(NOON * 1_000_000, false)).toBe(2);
  expect(fresh(null, false)).toBe(-1);
  expect(fresh(0, false)).toBe(0);
  expect(fresh(0, true)).toBe(-1); // it is above what is here
});

test('a long text is cut between words, at some lines, and never through a sign', () => {
  expect(excerpt('short')).toBeNull();
  const words = excerpt('word '.repeat(20_000)) ?? '';
  expect(words.length).toBeGreaterThan(3_000);
  expect(words.endsWith('word')).toBe(true);
  expect((excerpt('x\n'.repeat(500)) ?? '').split('\n').length).toBeLessThan(70);
  expect(excerpt('\u{1f600}'.repeat(9_000))).not.toMatch(/[\ud800-\udbff]$/);
});

test('HTML that somebody wrote is the text it is', () => {
  const html = (text: string) =>
    new BlockList(false)
      .update(text, false)
      .map((block) => (block.kind === 'html' ? block.html : ''));
  expect(html('a <b>c</b> **d**').join()).toBe(
    '<p>a &lt;b&gt;c&lt;/b&gt; <strong>d</strong></p>\n',
  );
  const hostile = html('<img src=x onerror=alert(1)>\n\n<!-- x -->\n\n- <script>alert(1)</script>');
  expect(hostile.join()).not.toMatch(/<(img|script|!--)/);
});
