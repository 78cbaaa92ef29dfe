// CONTRACT section 3: user-join, heartbeat, usage, join-channels, bad payloads.

import assert from 'node:assert/strict';

import { check } from '../lib/harness.js';
import { eventually } from '../lib/scene.js';

check('3 user-join', 'answers id and name and enters the rooms of all channels', async (scene) => {
  const ann = await scene.person();
  const channel = await scene.channel(ann);
  const client = await scene.connect(ann);
  const ack = await client.call('user-join', { auth: { token: ann.token } });
  assert.deepEqual(ack, { id: ann.id, name: ann.name });
  await ann.http.post(`${channel.path}/messages/post`, { content: 'hello' });
  await client.expectChannel('message', (event) => event.channel_id === channel.id);
});

check('3 user-join', 'answers an error to a bad token and stays who it is', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const client = await scene.connect(ann);
  for (const token of Object.values(scene.config.bad_tokens)) {
    const ack = await client.call('user-join', { auth: { token } });
    assert.equal(typeof ack.error.code, 'string');
    assert.equal(typeof ack.error.message, 'string');
  }
  const mismatch = await client.call('user-join', { auth: { token: bob.token } });
  assert.equal(typeof mismatch.error.code, 'string');
  await scene.control('publish', { room: `user:${bob.id}`, event: 'for-bob', data: {} });
  await scene.settled(client, ann);
  assert.deepEqual(client.events('for-bob'), []);
});

check('3 heartbeat', 'moves last_active_at and is not answered', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const lastActive = async () => {
    const found = await scene.root.http.get(`/api/v1/users/?query=${ann.id}`);
    return found.users.find((user) => user.id === ann.id).last_active_at;
  };
  const before = await lastActive();
  // Activity is kept in whole seconds.
  await eventually(() => Date.now() / 1000 >= before + 1, 'a second has passed');
  client.emit('heartbeat', {});
  await eventually(async () => (await lastActive()) > before, 'last_active_at moved');
  assert.deepEqual(client.events('error'), []);
});

check('3 usage', 'shows a model as in use, and forgets it', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const model = `model-of-${ann.id}`;
  const inUse = async () => (await ann.http.get('/api/usage')).model_ids.includes(model);
  client.emit('usage', { model });
  await eventually(inUse, 'the model is in use');
  await eventually(async () => !(await inUse()), 'the model is no longer in use');
  const usage = await ann.http.get('/api/usage');
  assert.ok(usage.user_count >= 1);
});

check('3 usage', 'ends with its session', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const model = `model-of-${ann.id}`;
  const inUse = async () => (await ann.http.get('/api/usage')).model_ids.includes(model);
  client.emit('usage', { model });
  await eventually(inUse, 'the model is in use');
  client.close();
  await eventually(async () => !(await inUse()), 'the model is no longer in use');
});

check('3 join-channels', 'answers the channels and enters their rooms', async (scene) => {
  const ann = await scene.person();
  const channel = await scene.channel(ann);
  const client = await scene.connect(ann);
  const ack = await client.call('join-channels', { auth: { token: ann.token } });
  assert.ok(ack.channels.includes(channel.id));
  await ann.http.post(`${channel.path}/messages/post`, { content: 'hello' });
  await client.expectChannel('message', (event) => event.channel_id === channel.id);
});

check('3 join-channels', 'answers an error to a bad token', async (scene) => {
  const client = await scene.connect(await scene.person());
  const ack = await client.call('join-channels', { auth: { token: scene.config.bad_tokens.foreign } });
  assert.equal(ack.error.code, 'token_invalid');
});

// One payload that is wrong in one place, for each event.
const BAD = [
  ['user-join', { auth: { token: 5 } }, 'auth.token'],
  ['join-channels', { auth: 'token' }, 'auth'],
  ['usage', { model: ['gpt'] }, 'model'],
  ['join-note', { note_id: 7 }, 'note_id'],
  ['join-chat', { chat_id: null }, 'chat_id'],
  ['join-chat', { chat_id: 'x', last_seq: -1 }, 'last_seq'],
  ['events:channel', { channel_id: 'x' }, 'data'],
  ['channel-events', { channel_id: 'x', data: { type: 'typing', data: { typing: 'yes' } } }, 'data.data.typing'],
  ['events:chat', { chat_id: 'x', data: { type: 5 } }, 'data.type'],
  ['ydoc:document:join', {}, 'document_id'],
  ['ydoc:document:join', { document_id: 'x'.repeat(1000) }, 'document_id'],
  ['ydoc:document:state', { document_id: ['x'] }, 'document_id'],
  ['ydoc:document:update', { document_id: 'free' }, 'update'],
  ['ydoc:document:leave', { document_id: false }, 'document_id'],
  ['ydoc:awareness:update', { document_id: 3 }, 'document_id'],
];

check('3 bad payload', 'gets an error ack that says where, from every event', async (scene) => {
  const client = await scene.connect(await scene.person());
  for (const [event, payload, path] of BAD) {
    const { error } = await client.call(event, payload);
    assert.equal(error.code, 'bad_payload', `${event}: ${JSON.stringify(error)}`);
    assert.equal(error.path, path, event);
    assert.equal(typeof error.message, 'string');
  }
  const { error } = await client.call('user-join', 'not an object');
  assert.equal(error.code, 'bad_payload');
});

check(['3 bad payload', '4 error'], 'gets an error event without an ack', async (scene) => {
  const client = await scene.connect(await scene.person());
  for (const [event, payload] of BAD) {
    client.emit(event, payload);
    const error = await client.expect('error', (data) => data.event === event);
    assert.equal(error.code, 'bad_payload');
    assert.equal(typeof error.message, 'string');
  }
});

check(['3 bad payload', '4 error'], 'an event that nobody knows is refused', async (scene) => {
  const client = await scene.connect(await scene.person());
  const ack = await client.call('make-coffee', {});
  assert.equal(ack.error.code, 'unknown_event');
  client.emit('make-coffee');
  const error = await client.expect('error');
  assert.equal(error.event, 'make-coffee');
  assert.equal(error.code, 'unknown_event');
});
