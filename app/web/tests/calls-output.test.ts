import { expect, test } from 'vitest';
import { kindOf } from '$lib/embed/kinds';
import { OutputSender } from '$lib/python/lines';
import { CUT, MOST_OUTPUT, MOST_PICTURES } from '$lib/python/protocol';

const PIXEL = 'data:image/png;base64,iVBORw0KGgo=';

/** What a sender sent: text by stream, and pictures. */
function collect(work: (sender: OutputSender) => void) {
  const sent = { stdout: '', stderr: '', pictures: [] as string[], events: 0 };
  const sender = new OutputSender((output) => {
    sent.events += 1;
    if (output.type === 'picture') sent.pictures.push(output.url);
    else sent[output.stream] += output.text;
  });
  work(sender);
  sender.end();
  return sent;
}

test('text goes on at once, also without a line end', () => {
  const seen: string[] = [];
  const sender = new OutputSender((output) => seen.push('text' in output ? output.text : '!'));
  sender.stdout('half');
  sender.stdout(' a line\nmore');
  expect(seen).toEqual(['half', ' a line\nmore']);
});

test('lines that are pictures become pictures, wherever they are cut', () => {
  const text = `before\n${PIXEL}\nnot ${PIXEL}\ndata:image\n${PIXEL}`;
  for (let size = 1; size < text.length; size += 1) {
    const sent = collect((sender) => {
      for (let at = 0; at < text.length; at += size) sender.stdout(text.slice(at, at + size));
    });
    expect(sent.pictures).toEqual([PIXEL, PIXEL]);
    expect(sent.stdout).toBe(`before\n[picture 1]\nnot ${PIXEL}\ndata:image\n[picture 2]\n`);
  }
});

test('a picture that is none is text, or refused when it was meant to be one', () => {
  const script = 'data:image/svg+xml,<svg onload="alert(1)">';
  const sent = collect((sender) => {
    sender.stdout(`${script}\n`);
    sender.picture(script);
  });
  expect(sent.pictures).toEqual([]);
  expect(sent.stdout).toBe(`${script}\n`);
  expect(sent.stderr).toContain('was not shown');
});

test('output and pictures are bounded, and it is said so', () => {
  const sent = collect((sender) => {
    for (let at = 0; at < 3; at += 1) sender.stdout('x'.repeat(MOST_OUTPUT / 2 + 1));
    for (let at = 0; at <= MOST_PICTURES; at += 1) sender.picture(PIXEL);
  });
  expect(sent.stdout).toBe('x'.repeat(MOST_OUTPUT) + CUT);
  expect(sent.pictures).toHaveLength(MOST_PICTURES);
  expect(sent.stderr).toContain('there are 20 already');
});

const ORIGIN = 'https://chat.example';

test.each<[unknown, string]>([
  ['<p>Hello</p>', 'html'],
  ['<!doctype html><title>x</title>', 'html'],
  ['https://other.example/page?x=1', 'site'],
  ['  https://other.example  ', 'site'],
  ['https://chat.example/settings', 'text'],
  ['https://chat.example@other.example/', 'text'],
  ['http://other.example/', 'text'],
  ['javascript:alert(1)', 'text'],
  ['JavaScript:alert(1)//<b>', 'text'],
  ['data:text/html,<script>alert(1)</script>', 'text'],
  ['blob:https://chat.example/1', 'text'],
  ['//other.example', 'text'],
  ['just words', 'text'],
  [{ url: 'https://other.example' }, 'text'],
  [undefined, 'text'],
])('the embed %j is %s', (embed, kind) => {
  expect(kindOf(embed, ORIGIN).kind).toBe(kind);
});
