// Five clients edit one note at two replicas, one of which is killed, and all end equal.

import assert from 'node:assert/strict';

import * as Y from 'yjs';

import { randomNumbers } from '../lib/editor.js';
import { canonical, contentOf } from '../lib/editorschema.js';
import { check } from '../lib/harness.js';
import { eventually } from '../lib/scene.js';
import { Writer, assertEqual, pause, sameState } from '../lib/writer.js';

const PLACES = [
  ['main', 'websocket'],
  ['doomed', 'websocket'],
  ['doomed', 'upgrade'],
  ['main', 'polling'],
  ['doomed', 'websocket'],
];

check('yjs', 'five clients over two replicas, one of which is killed, end equal to each other and to SQL', async (scene) => {
  const { seed, edits, servers } = scene.config;
  const random = randomNumbers(seed);
  const people = [];
  for (let index = 0; index < PLACES.length; index += 1) people.push(await scene.person());
  const [owner, ...others] = people;
  const grants = Object.fromEntries(others.map((each) => [each.id, 'write']));
  const note = await scene.note(owner, '# A note\n\nwith *some* text\n\n- one\n- two', grants);
  const writers = people.map((person, index) => {
    const [server, transport] = PLACES[index];
    return new Writer(scene, person, note, transport, random, server);
  });
  await eventually(() => writers.every((each) => each.settled), 'all have joined');

  const editAtRandom = async (count) => {
    for (let number = 0; number < count; number += 1) {
      writers[Math.floor(random() * writers.length)].edit();
      if (random() < 0.05) writers[Math.floor(random() * writers.length)].breakConnection(random);
      if (random() < 0.2) for (const each of writers) each.comeBack();
      await pause(random);
    }
    for (const each of writers) each.comeBack();
  };

  // What is typed while an update is on its way travels as one: fewer updates than edits.
  const compacted = () => scene.control('compacted', { document_id: note.document });
  do await editAtRandom(edits / 4); while (await compacted() < 50);
  await eventually(() => writers.every((each) => each.settled), 'all is acknowledged');

  // Somebody whose words are acknowledged, and who is gone before anything happens.
  const ghost = new Writer(scene, owner, note, 'websocket', random, 'doomed');
  await eventually(() => ghost.settled, 'one more has joined');
  const paragraph = new Y.XmlElement('paragraph');
  paragraph.insert(0, [new Y.XmlText('acknowledged')]);
  ghost.doc.getXmlFragment('prosemirror').push([paragraph]);
  await eventually(() => ghost.settled, 'their words are acknowledged');
  ghost.provider.destroy();
  ghost.client.close();

  // The replica is killed in the middle of it, and a load balancer sends its clients elsewhere.
  const more = editAtRandom(edits / 2);
  await pause(random);
  for (const each of writers) each.moveTo(servers.main);
  await scene.control('kill', { server: 'doomed' });
  await more;
  const [first] = writers;
  await eventually(
    () => writers.every((each) => each.settled && sameState(each.doc, first.doc)),
    'all have the same state',
    30_000,
  );
  for (const [index, each] of writers.entries()) assertEqual(first.doc, each.doc, `client ${index}`);
  const content = contentOf(first.doc);
  // Others may have changed the words, but they have been there.
  assert.ok(Y.getState(first.doc.store, ghost.doc.clientID) > 0, 'what the dead one wrote');
  assert.ok(writers.some((each) => each.recovered > 0), 'some connections were recovered');

  const late = new Writer(scene, owner, note, 'websocket', random);
  await eventually(() => late.settled, 'the late one has joined');
  assertEqual(first.doc, late.doc, 'a fresh joiner');

  // What has settled: SQL alone, with nothing left in Redis.
  const stored = new Y.Doc();
  for (const update of await scene.control('settled', { document_id: note.document })) {
    Y.applyUpdate(stored, Buffer.from(update, 'base64'));
  }
  assertEqual(first.doc, stored, 'SQL');
  const derived = (await owner.http.get(note.path)).data.content;
  assert.deepEqual(canonical(derived.json), content, 'the derived JSON');

  // The dead one's members are gone from the list.
  const members = await eventually(async () => {
    const { sessions } = await late.client.call('ydoc:document:join', { document_id: note.document });
    return sessions.length === 6 ? sessions : null;
  }, 'six sessions are in the document');
  const ids = [...writers, late].map((each) => each.client.id);
  assert.deepEqual([...members].sort(), ids.sort());
});
