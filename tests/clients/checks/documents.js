// CONTRACT sections 3 and 4: shared documents, notes on display, the end of a server.

import assert from 'node:assert/strict';

import * as Y from 'yjs';
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate } from 'y-protocols/awareness';

import { check } from '../lib/harness.js';

/** A paragraph in the fragment that a note's editor uses; the update that adds it. */
function write(doc, text) {
  const before = Y.encodeStateVector(doc);
  const paragraph = new Y.XmlElement('paragraph');
  paragraph.insert(0, [new Y.XmlText(text)]);
  const fragment = doc.getXmlFragment('prosemirror');
  fragment.insert(fragment.length, [paragraph]);
  return Y.encodeStateAsUpdate(doc, before);
}

const text = (doc) => doc.getXmlFragment('prosemirror').toArray().map((each) => each.firstChild?.toString()).join('\n');

function docOf(state) {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, new Uint8Array(state));
  return doc;
}

/** Join and return `{ ack, state, doc }`. */
async function join(client, document_id, extra = {}) {
  const ack = await client.call('ydoc:document:join', { document_id, ...extra });
  assert.equal(ack.ok, true, JSON.stringify(ack));
  const state = await client.expect('ydoc:document:state');
  return { ack, state, doc: docOf(state.state) };
}

const update = (client, document_id, bytes) => client.call('ydoc:document:update', { document_id, update: bytes });

/** A note that bob may write and cora may read, each with a client that has joined. */
async function stage(scene, md = 'Hello') {
  const [ann, bob, cora] = [await scene.person(), await scene.person(), await scene.person()];
  const note = await scene.note(ann, md, { [bob.id]: 'write', [cora.id]: 'read' });
  const clients = [];
  const docs = [];
  for (const person of [ann, bob, cora]) {
    const client = await scene.connect(person);
    clients.push(client);
    docs.push((await join(client, note.document)).doc);
  }
  return { people: [ann, bob, cora], note, clients, docs };
}

check(['3 ydoc:document:join', '4 ydoc:document:state', '4 ydoc:user:joined', '3 ids of clients'],
  'the joiner gets the state, the others who has joined', async (scene) => {
    const [ann, bob] = [await scene.person(), await scene.person()];
    const note = await scene.note(ann, 'Hello', { [bob.id]: 'read' });
    const [annClient, bobClient] = [await scene.connect(ann), await scene.connect(bob)];
    await join(annClient, note.document);
    const forged = { user_id: ann.id, user_name: 'Somebody else', user_color: '#123456' };
    const { ack, state, doc } = await join(bobClient, note.document, forged);
    const sessions = [annClient.id, bobClient.id].sort();
    assert.deepEqual([...ack.sessions].sort(), sessions);
    assert.equal(state.document_id, note.document);
    assert.deepEqual([...state.sessions].sort(), sessions);
    assert.equal(typeof state.seq, 'number');
    assert.equal(text(doc), 'Hello');
    const joined = await annClient.expect('ydoc:user:joined');
    assert.equal(joined.document_id, note.document);
    assert.equal(joined.user_id, bob.id);
    assert.equal(joined.user_name, bob.name);
    assert.equal(joined.user_color, '#123456');
    await scene.settled(bobClient, bob);
    assert.deepEqual(bobClient.events('ydoc:user:joined'), []);
  });

check('3 ydoc:document:join', 'with a state vector only what is missing comes', async (scene) => {
  const ann = await scene.person();
  const note = await scene.note(ann, 'A sentence of some length. '.repeat(40));
  const client = await scene.connect(ann);
  const { state, doc } = await join(client, note.document);
  const writer = await scene.connect(ann);
  const other = (await join(writer, note.document)).doc;
  assert.equal((await update(writer, note.document, write(other, 'New'))).ok, true);
  const vector = Y.encodeStateVector(doc);
  for (const state_vector of [Buffer.from(vector), [...vector]]) {
    const diff = (await join(client, note.document, { state_vector })).state.state;
    assert.ok(diff.length < state.state.length / 4, `${diff.length} of ${state.state.length} bytes`);
    Y.applyUpdate(doc, new Uint8Array(diff));
    assert.equal(text(doc), text(other));
  }
  const bad = await client.call('ydoc:document:join', { document_id: note.document, state_vector: 'AA' });
  assert.equal(bad.error.code, 'bad_payload');
});

check('3 ydoc:document:join', 'note_x is the same door as note:x', async (scene) => {
  const { note, clients, docs } = await stage(scene);
  const other = await scene.connect(await scene.person());
  const refused = await other.call('ydoc:document:join', { document_id: `note_${note.id}` });
  assert.equal(refused.error.code, 'not_found');
  const ack = await update(clients[1], `note_${note.id}`, write(docs[1], 'by the other name'));
  assert.equal(ack.ok, true);
  const event = await clients[0].expect('ydoc:document:update');
  assert.equal(event.document_id, note.document);
});

check(['3 ydoc:document:join', '4 error'], 'who may not read is refused, with and without an ack', async (scene) => {
  const ann = await scene.person();
  const note = await scene.note(ann, 'Private');
  const client = await scene.connect(await scene.person());
  const payload = { document_id: note.document };
  assert.equal((await client.call('ydoc:document:join', payload)).error.code, 'not_found');
  client.emit('ydoc:document:join', payload);
  const error = await client.expect('error');
  assert.deepEqual([error.event, error.code], ['ydoc:document:join', 'not_found']);
  assert.deepEqual(client.events('ydoc:document:state'), []);
});

check('3 ydoc:document:state', 'members get the state again, or a diff; others an error', async (scene) => {
  const { note, clients, docs } = await stage(scene);
  const [client, bobClient] = clients;
  await update(bobClient, note.document, write(docs[1], 'More'));
  const whole = await client.call('ydoc:document:state', { document_id: note.document });
  assert.equal(whole.document_id, note.document);
  assert.equal(text(docOf(whole.state)), 'Hello\nMore');
  const event = await client.expect('ydoc:document:state');
  assert.equal(text(docOf(event.state)), 'Hello\nMore');
  const state_vector = Y.encodeStateVector(docs[0]);
  const diff = await client.call('ydoc:document:state', { document_id: note.document, state_vector });
  Y.applyUpdate(docs[0], new Uint8Array(diff.state));
  assert.equal(text(docs[0]), 'Hello\nMore');

  const outsider = await scene.connect(await scene.person());
  const payload = { document_id: note.document };
  assert.equal((await outsider.call('ydoc:document:state', payload)).error.code, 'not_joined');
  outsider.emit('ydoc:document:state', payload);
  assert.equal((await outsider.expect('error')).event, 'ydoc:document:state');
});

for (const [form, encode] of [['binary', (bytes) => bytes], ['a list of integers', (bytes) => [...bytes]]]) {
  check(['3 ydoc:document:update', '4 ydoc:document:update', '3 ids of clients'],
    `an update as ${form} is acknowledged and relayed to the others`, async (scene) => {
      const { people: [ann, bob], note, clients: [annClient, bobClient, coraClient], docs } = await stage(scene);
      const payload = {
        document_id: note.document,
        update: encode(write(docs[1], 'From Bob')),
        user_id: ann.id,
        data: { content: { md: 'forged', html: '<p>forged</p>' } },
      };
      const ack = await bobClient.call('ydoc:document:update', payload);
      assert.deepEqual(Object.keys(ack).sort(), ['ok', 'seq']);
      assert.equal(ack.ok, true);
      for (const [client, doc] of [[annClient, docs[0]], [coraClient, docs[2]]]) {
        const event = await client.expect('ydoc:document:update');
        assert.equal(event.document_id, note.document);
        assert.equal(event.user_id, bob.id);
        assert.equal(event.seq, ack.seq);
        Y.applyUpdate(doc, new Uint8Array(event.update));
        assert.equal(text(doc), 'Hello\nFrom Bob');
      }
      await scene.settled(bobClient, bob);
      assert.deepEqual(bobClient.events('ydoc:document:update'), []);
      const stored = await ann.http.get(note.path);
      assert.equal(stored.data.content.md.trim(), 'Hello\n\nFrom Bob');
    });
}

check(['3 ydoc:document:update', '4 error'], 'readers, outsiders and nonsense are refused and change nothing', async (scene) => {
  const { people: [ann, , cora], note, clients: [annClient, , coraClient], docs } = await stage(scene);
  const stranger = await scene.connect(await scene.person());
  const good = write(docs[2], 'Not mine to write');
  assert.equal((await update(coraClient, note.document, good)).error.code, 'read_only');
  assert.equal((await update(stranger, note.document, good)).error.code, 'not_joined');
  for (const nonsense of [Buffer.from([1, 2, 3]), [300], [-1], 'text', [], Buffer.alloc(0), { 0: 1 }]) {
    const { error } = await update(annClient, note.document, nonsense);
    assert.ok(['bad_update', 'bad_payload'].includes(error.code), JSON.stringify(error));
  }
  coraClient.emit('ydoc:document:update', { document_id: note.document, update: good });
  const error = await coraClient.expect('error');
  assert.deepEqual([error.event, error.code], ['ydoc:document:update', 'read_only']);
  await scene.settled(annClient, ann);
  assert.deepEqual(annClient.events('ydoc:document:update'), []);

  // Access is looked up at the moment of writing.
  const access_grants = [{ principal_type: 'user', principal_id: cora.id, permission: 'write' }];
  await ann.http.post(`${note.path}/access/update`, { access_grants });
  assert.equal((await update(coraClient, note.document, good)).ok, true);
});

check(['3 ydoc:document:leave', '4 ydoc:user:left'], 'who leaves is announced and hears nothing more', async (scene) => {
  const { people: [, bob], note, clients: [annClient, bobClient], docs } = await stage(scene);
  const ack = await bobClient.call('ydoc:document:leave', { document_id: note.document });
  assert.deepEqual(ack, { ok: true });
  const left = await annClient.expect('ydoc:user:left');
  assert.equal(left.document_id, note.document);
  assert.equal(left.user_id, bob.id);
  assert.equal((await update(annClient, note.document, write(docs[0], 'Alone'))).ok, true);
  await scene.settled(bobClient, bob);
  assert.deepEqual(bobClient.events('ydoc:document:update'), []);
  const { error } = await update(bobClient, note.document, write(docs[1], 'Too late'));
  assert.equal(error.code, 'not_joined');
});

check('4 ydoc:user:left', 'a session that ends has left', async (scene) => {
  const { people: [, bob], clients: [annClient, bobClient] } = await stage(scene);
  bobClient.close();
  const left = await annClient.expect('ydoc:user:left');
  assert.equal(left.user_id, bob.id);
});

check(['3 ydoc:awareness:update', '4 ydoc:awareness:update', '3 ids of clients'],
  'awareness is relayed under the server\'s name and goes with its session', async (scene) => {
    const { people: [, bob], note, clients: [annClient, bobClient], docs } = await stage(scene);
    const mine = new Awareness(docs[0]);
    const bobs = new Awareness(docs[1]);
    bobs.setLocalState({ user: { id: 'forged', name: 'Forged', color: '#00ff00' }, cursor: 7 });
    bobClient.emit('ydoc:awareness:update', {
      document_id: note.document, user_id: 'forged', update: encodeAwarenessUpdate(bobs, [docs[1].clientID]),
    });
    const event = await annClient.expect('ydoc:awareness:update');
    assert.equal(event.document_id, note.document);
    assert.equal(event.user_id, bob.id);
    applyAwarenessUpdate(mine, new Uint8Array(event.update), 'remote');
    const shown = mine.getStates().get(docs[1].clientID);
    assert.equal(shown.user.name, bob.name);
    assert.equal(shown.user.id, bob.id);
    assert.equal(shown.cursor, 7);
    await scene.settled(bobClient, bob);
    assert.deepEqual(bobClient.events('ydoc:awareness:update'), []);

    bobClient.close();
    const removal = await annClient.expect('ydoc:awareness:update');
    applyAwarenessUpdate(mine, new Uint8Array(removal.update), 'remote');
    assert.equal(mine.getStates().has(docs[1].clientID), false);
    for (const each of [mine, bobs]) each.destroy();
  });

check('3 ydoc:awareness:update', "Open WebUI's own form is relayed as well", async (scene) => {
  const { people: [, bob], note, clients: [annClient, bobClient], docs } = await stage(scene);
  const states = { [docs[1].clientID]: { user: { name: 'Forged' }, cursor: { anchor: 1 } } };
  const bytes = [...new TextEncoder().encode(JSON.stringify(states))];
  bobClient.emit('ydoc:awareness:update', { document_id: note.document, update: bytes });
  const event = await annClient.expect('ydoc:awareness:update');
  const relayed = JSON.parse(new TextDecoder().decode(new Uint8Array(event.update)));
  const state = relayed[docs[1].clientID];
  assert.equal(state.user.name, bob.name);
  assert.deepEqual(state.cursor, { anchor: 1 });
});

check(['3 ydoc:awareness:update', '4 error'], 'outsiders and nonsense are refused', async (scene) => {
  const { note, clients: [client] } = await stage(scene);
  const outsider = await scene.connect(await scene.person());
  outsider.emit('ydoc:awareness:update', { document_id: note.document, update: [1] });
  assert.equal((await outsider.expect('error')).code, 'not_joined');
  client.emit('ydoc:awareness:update', { document_id: note.document, update: Buffer.from([9, 9, 9]) });
  const error = await client.expect('error');
  assert.deepEqual([error.event, error.code], ['ydoc:awareness:update', 'bad_update']);
});

check(['3 join-note', '4 note-events'], 'who shows a note is told of its changes', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const note = await scene.note(ann, 'Hello', { [bob.id]: 'read' });
  const client = await scene.connect(bob);
  const ack = await client.call('join-note', { auth: { token: bob.token }, note_id: note.id });
  assert.deepEqual(ack, { ok: true });
  await ann.http.post(`${note.path}/update`, { title: 'A new title' });
  const shown = await client.expect('note-events', (data) => data.title === 'A new title');
  assert.equal(shown.id, note.id);
});

check(['3 join-note', '4 error'], 'who may not read it is refused', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const note = await scene.note(ann, 'Private');
  const client = await scene.connect(bob);
  const payload = { auth: { token: bob.token }, note_id: note.id };
  assert.equal((await client.call('join-note', payload)).error.code, 'not_found');
  const wrong = { ...payload, auth: { token: scene.config.bad_tokens.expired } };
  assert.equal((await client.call('join-note', wrong)).error.code, 'token_expired');
  client.emit('join-note', payload);
  const error = await client.expect('error');
  assert.deepEqual([error.event, error.code], ['join-note', 'not_found']);
  await ann.http.post(`${note.path}/update`, { title: 'Still private' });
  await scene.settled(client, bob);
  assert.deepEqual(client.events('note-events'), []);
});

check('4 server:draining', 'a server that stops says when to come back, and cuts afterwards', async (scene) => {
  const server = 'draining';
  const ann = await scene.person(server);
  const client = await scene.connect(ann, { server });
  const back = new Promise((resolve) => {
    client.socket.once('disconnect', () => client.socket.once('connect', resolve));
  });
  await scene.control('drain', { server });
  const told = await client.expect('server:draining');
  assert.ok(told.reconnect_in_ms >= 0);
  await back; // cut at the transport: a stock client returns by itself
});
