// Five clients edit one note at random, connections break, and all end equal.

import assert from 'node:assert/strict';

import * as Y from 'yjs';

import { RandomEditor, randomNumbers } from '../lib/editor.js';
import { contentOf, canonical, textOf } from '../lib/editorschema.js';
import { check } from '../lib/harness.js';
import { Client } from '../lib/client.js';
import { eventually } from '../lib/scene.js';
import { DocumentProvider } from '../provider.js';

const TRANSPORTS = ['websocket', 'websocket', 'upgrade', 'websocket', 'polling'];

class Writer {
  constructor(scene, person, note, transport, random) {
    this.client = new Client(scene.config.servers.main, transport, {
      auth: { token: person.token }, reconnectionDelay: 20, reconnectionDelayMax: 60,
    });
    scene.clients.push(this.client);
    this.doc = new Y.Doc();
    this.provider = new DocumentProvider(this.client.socket, note.document, this.doc);
    this.provider.on('error', (error) => { this.error = error; });
    this.editor = new RandomEditor(this.doc, random);
    this.recovered = 0;
    this.offline = 0;
    this.client.socket.on('connect', () => {
      this.recovered += this.client.socket.recovered ? 1 : 0;
    });
  }

  get settled() {
    assert.equal(this.error, undefined, JSON.stringify(this.error));
    return this.client.socket.connected && this.provider.synced && !this.provider.unsaved;
  }

  edit() {
    if (!this.client.socket.connected) this.offline += 1;
    this.editor.edit();
  }

  /**
   * Break the connection, if there is one, in one of three ways; it comes back by itself, or
   * by `comeBack`.
   */
  breakConnection(random) {
    const { socket } = this.client;
    const { engine } = socket.io;
    const way = Math.floor(random() * 3);
    if (way === 0) {
      socket.disconnect(); // goes off-line and will begin a new session
    } else if (engine.readyState !== 'open') {
      return false; // socket.io-client would wait 20 s for an opening that was cut short
    } else if (way === 1 && engine.transport.name === 'websocket') {
      engine.transport.ws.terminate();
    } else {
      engine.close();
    }
    return true;
  }

  comeBack() {
    if (!this.client.socket.active) this.client.socket.connect();
  }
}

/** Whether two documents have the same changes, deletions included. */
const sameState = (one, other) => Y.equalSnapshots(Y.snapshot(one), Y.snapshot(other));

function assertEqual(one, other, what) {
  assert.ok(sameState(one, other), `${what}: another state`);
  assert.deepEqual(contentOf(other), contentOf(one), what);
}

const pause = (random) => new Promise((resolve) => {
  if (random() < 0.5) setImmediate(resolve);
  else setTimeout(resolve, random() * 6);
});

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
