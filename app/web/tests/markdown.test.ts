import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BlockList, type Block } from '../src/lib/markdown/blocks';

const guide = readFileSync(new URL('../../../docs/client-guide.md', import.meta.url), 'utf8');

/** Repeatable randomness: the same seed, the same cuts. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

function grown(text: string, seed: number, most: number): Block[] {
  const list = new BlockList();
  const next = random(seed);
  for (let at = 0; at < text.length; at += 1 + Math.floor(next() * most)) {
    list.update(text.slice(0, at), true);
  }
  return list.update(text, false);
}

const samples = {
  lists:
    '- a\n\n- b\n  - c\n\n    deep\n\n  back\n\nafter\n\n1. x\n\n2. y\n   ```js\n   z\n   ```\n',
  code: 'a\n\n```python\ndef f():\n\n    return 1\n```\n\nb\n\n~~~\nc\n~~~~\n\n    indented\n\n    more\n',
  tables: '| a | b |\n|---|:-:|\n| 1 | 2 |\n\nText\n=====\n\nmore\n---\n\n> q\n> r\n\nlast',
  html: 'a <b>c</b>\n\n<div>\n\n**x**\n\n</div>\n\n<!-- y\n\nz -->\n\nend',
  references: '[one]: https://one.example\n\nsee [one] and [two]\n\n[two]: https://two.example\n',
  windows: 'one\r\ntwo\r\n\r\n```\r\ncode\r\n```\r\n\r\nthree',
  guide: guide.slice(0, 9000),
};

test.each(Object.entries(samples))('%s come out the same however they stream', (name, text) => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const streamed = grown(text, seed, name === 'guide' ? 400 : 6);
    const whole = new BlockList().update(text, false);
    // A reference that is defined later is known to what stands before it only in the whole.
    if (name === 'references') expect(streamed).toHaveLength(whole.length);
    else expect(streamed).toEqual(whole);
  }
});

test('blocks that are settled stay the same objects', () => {
  const list = new BlockList();
  const before = list.update('# One\n\ntwo\n\nthree\n\nfou', true);
  const after = list.update('# One\n\ntwo\n\nthree\n\nfour\n\nfive', true);
  expect(after.slice(0, 2).every((block, index) => block === before[index])).toBe(true);
  expect(after).toHaveLength(5);
});

test('an open block of code is open until its fence comes', () => {
  const list = new BlockList();
  expect(list.update('```py\nx = 1', true)).toEqual([
    { kind: 'code', language: 'py', code: 'x = 1', open: true },
  ]);
  expect(list.update('```py\nx = 1\n```', true)).toMatchObject([{ open: false }]);
});

test('text that is replaced is read anew', () => {
  const list = new BlockList();
  list.update('# One\n\ntwo\n\nthree', true);
  expect(list.update('other', true)).toHaveLength(1);
});

test('pictures from elsewhere become links, pictures in the text stay pictures', () => {
  const html = (text: string) => new BlockList().update(text, false)[0] as { html: string };
  expect(html('![a cat](https://evil.example/?q=secret)').html).toContain('<a href=');
  expect(html('![a cat](https://evil.example/?q=secret)').html).not.toContain('<img');
  expect(html('![dot](data:image/png;base64,iVBORw0KGgo=)').html).toContain('<img');
});

test.each([
  ['quotes', `${'>'.repeat(20_000)} deep`],
  ['quotes with spaces', `${'> '.repeat(20_000)}deep`],
  ['lists', Array.from({ length: 500 }, (_, level) => `${' '.repeat(level * 2)}- x`).join('\n')],
  ['brackets', '['.repeat(20_000)],
  ['pictures', '!['.repeat(10_000)],
  ['a list in quotes', `${'> - '.repeat(5_000)}deep`],
])('%s that are nested absurdly deep break nothing', (_name, text) => {
  for (const live of [true, false]) {
    const list = new BlockList();
    for (let at = 0; at < text.length; at += Math.ceil(text.length / 5)) {
      list.update(text.slice(0, at), true);
    }
    expect(list.update(text, live).length).toBeGreaterThan(0);
    expect(list.update(`${text}\n\nafter`, live).length).toBeGreaterThan(0);
  }
});
