// Five clients edit one note at random, connections break, and all end equal.

import assert from 'node:assert/strict';

import * as Y from 'yjs';

import { randomNumbers } from '../lib/editor.js';
import { contentOf, canonical, textOf } from '../lib/editorschema.js';
import { check } from '../lib/harness.js';
import { eventually } from '../lib/scene.js';
import { Writer, assertEqual, pause, sameState } from '../lib/writer.js';

const TRANSPORTS = ['websocket', 'websocket', 'upgrade', 'websocket', 'polling'];

check('yjs', 'random edits of five clients with reconnects end equal everywhere', async (scene) => {
  const { seed, edits } = scene.config;
  const random = randomNumbers(seed);
  const people = [];
  for (let index = 0; index < TRANSPORTS.length; index += 1) people.push(await scene.person());
  const [owner, ...others] = people;
  const grants = Object.fromEntries(others.map((each) => [each.id, 'write']));
  const note = await scene.note(owner, '# A note\n\nwith *some* text\n\n- one\n- two', grants);
  const writers = people.map((person, index) => new Writer(scene, person, note, TRANSPORTS[index], random));
  await eventually(() => writers.every((each) => each.settled), 'all have joined');

  let breaks = 0;
  for (let number = 0; number < edits; number += 1) {
    const writer = writers[Math.floor(random() * writers.length)];
    writer.edit();
    if (random() < 0.12) {
      const unlucky = writers[Math.floor(random() * writers.length)];
      if (unlucky.breakConnection(random)) breaks += 1;
      // Some of what is typed next is typed off-line.
      if (random() < 0.7) {
        unlucky.edit();
        number += 1;
      }
    }
    if (random() < 0.2) for (const each of writers) each.comeBack();
    await pause(random);
  }
  for (const each of writers) each.comeBack();
  const [first] = writers;
  await eventually(
    () => writers.every((each) => each.settled && sameState(each.doc, first.doc)),
    'all have the same state',
  );

  const made = writers.flatMap((each) => Object.values(each.editor.done)).reduce((a, b) => a + b);
  assert.ok(made >= edits, `${made} edits`);
  assert.ok(breaks >= edits / 20, `${breaks} breaks`);
  assert.ok(writers.some((each) => each.recovered > 0), 'some connections were recovered');
  assert.ok(writers.some((each) => each.offline > 0), 'some edits were made off-line');
  for (const [index, each] of writers.entries()) assertEqual(first.doc, each.doc, `client ${index}`);

  // Somebody who comes only now.
  const late = new Writer(scene, owner, note, 'websocket', random);
  await eventually(() => late.settled, 'the late one has joined');
  assertEqual(first.doc, late.doc, 'a fresh joiner');

  // What the server stored: its log, and again after compaction.
  const content = contentOf(first.doc);
  for (const settle of [false, true]) {
    const updates = await scene.control('stored', { document_id: note.document, settle });
    const stored = new Y.Doc();
    for (const update of updates) Y.applyUpdate(stored, Buffer.from(update, 'base64'));
    assertEqual(first.doc, stored, settle ? 'the snapshot' : 'the log');
  }

  // What it derives.
  const derived = (await owner.http.get(note.path)).data.content;
  assert.deepEqual(canonical(derived.json), content, 'the derived JSON');
  const unescape = (html) => html.replace(/<[^>]*>/g, '')
    .replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"').replace(/&amp;/g, '&');
  assert.equal(unescape(derived.html), textOf(content), 'the text of the derived HTML');
});
