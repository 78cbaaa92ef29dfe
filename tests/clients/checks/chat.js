// CONTRACT sections 3 and 4: answers as they stream, and chats that are opened in mid-stream.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { check } from '../lib/harness.js';

const words = (count) => Array.from({ length: count }, (_, n) => `word${n}`).join(' ');

/** Put `message` deltas together and see that none is missing or double. */
function together(events, { seq = 0, content = '' } = {}) {
  for (const event of events) {
    if (event.seq <= seq) continue;
    assert.equal(event.seq, seq + 1, 'a delta is missing');
    seq = event.seq;
    content += event.data.data.content;
  }
  return { seq, content };
}

const isDelta = (message) => (event) => event.message_id === message && event.data.type === 'message';
const isEnd = (message) => (event) => event.message_id === message && event.data.data?.done === true;

check(['4 events', '4 events message', '4 events chat:completion', '4 events chat:active', '4 events chat:title'],
  'an answer arrives in every tab of its user, with seq, title, activity and end', async (scene) => {
    const ann = await scene.person();
    const tabs = [await scene.connect(ann), await scene.connect(ann)];
    const stranger = await scene.connect(await scene.person());
    const { id } = await ann.http.post('/api/v1/chats/new', { chat: {} });
    const question = words(40);
    const { message, task_ids, status } = await scene.ask(ann, tabs[0], id, question);
    assert.equal(status, true);
    assert.equal(task_ids.length, 1);
    for (const tab of tabs) {
      const active = await tab.expectChat('chat:active', (event) => event.data.data.active);
      assert.equal(active.chat_id, id);
      const title = await tab.expectChat('chat:title');
      assert.ok(question.startsWith(title.data.data.replace('…', '')));
      const end = await tab.expectChat('chat:completion', isEnd(message));
      assert.equal(end.data.data.content, question);
      await tab.expectChat('chat:active', (event) => !event.data.data.active);
      const deltas = tab.events('events', isDelta(message));
      assert.ok(deltas.every((event) => event.chat_id === id));
      assert.equal(together(deltas).content, question);
    }
    assert.deepEqual(stranger.events('events'), []);
    const stored = (await ann.http.get(`/api/v1/chats/${id}`)).chat.history.messages[message];
    assert.equal(stored.content, question);
    assert.equal(stored.done, true);
  });

check(['4 events chat:tasks:cancel'], 'an answer that is stopped says so and keeps what it has', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const { id } = await ann.http.post('/api/v1/chats/new', { chat: {} });
  const { message, task_ids } = await scene.ask(ann, client, id, words(5_000));
  await client.expectChat('message');
  const stopped = await ann.http.post(`/api/tasks/stop/${task_ids[0]}`);
  assert.equal(stopped.status, 'stopped');
  await client.expectChat('chat:tasks:cancel', (event) => event.message_id === message);
  const { content } = together(client.events('events', isDelta(message)));
  const stored = (await ann.http.get(`/api/v1/chats/${id}`)).chat.history.messages[message];
  assert.equal(stored.content, content);
  assert.equal(stored.state, 'stopped');
});

check('3 join-chat', 'a page that was loaded anew resumes in mid-stream without a gap', async (scene) => {
  const ann = await scene.person();
  const before = await scene.connect(ann);
  const { id } = await ann.http.post('/api/v1/chats/new', { chat: {} });
  const question = words(250);
  const { message } = await scene.ask(ann, before, id, question);
  await before.expectChat('message', (event) => event.seq === 5);
  const had = together(before.events('events', isDelta(message)));
  before.close();

  const after = await scene.connect(ann);
  const ack = await after.call('join-chat', { chat_id: id, message_id: message, last_seq: had.seq });
  assert.equal(ack.chat_id, id);
  assert.equal(ack.streams.length, 1, 'the answer is in flight');
  const [stream] = ack.streams;
  assert.equal(stream.message_id, message);
  assert.ok(stream.seq >= had.seq);
  const resumed = { seq: stream.seq, content: had.content + stream.content };
  await after.expectChat('chat:completion', isEnd(message));
  assert.equal(together(after.events('events', isDelta(message)), resumed).content, question);

  const ended = await after.call('join-chat', { chat_id: id });
  assert.deepEqual(ended, { chat_id: id, streams: [] });
});

check('3 join-chat', 'without last_seq it brings everything so far', async (scene) => {
  const ann = await scene.person();
  const [first, second] = [await scene.connect(ann), await scene.connect(ann)];
  const { id } = await ann.http.post('/api/v1/chats/new', { chat: {} });
  const question = words(150);
  const { message } = await scene.ask(ann, first, id, question);
  await first.expectChat('message', (event) => event.seq === 3);
  const { streams: [stream] } = await second.call('join-chat', { chat_id: id });
  assert.ok(question.startsWith(stream.content));
  await second.expectChat('chat:completion', isEnd(message));
  assert.equal(together(second.events('events', isDelta(message)), stream).content, question);
});

check('3 join-chat', 'a shared chat is heard by who may read it, and by nobody else', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const chat = await scene.chat(ann);
  const client = await scene.connect(bob);
  const refused = await client.call('join-chat', { chat_id: chat.id });
  assert.equal(refused.error.code, 'not_found');
  const access_grants = [{ principal_type: 'user', principal_id: bob.id, permission: 'read' }];
  await ann.http.post(`${chat.path}/access/update`, { access_grants });
  const ack = await client.call('join-chat', { chat_id: chat.id });
  assert.deepEqual(ack, { chat_id: chat.id, streams: [] });
  await chat.emit('status', { description: 'heard by both', done: true });
  await client.expectChat('status', (event) => event.chat_id === chat.id);
  await ann.http.post(`${chat.path}/access/update`, { access_grants: [] });
  await chat.emit('notification', { type: 'info', content: 'no longer' });
  await scene.settled(client, bob);
  assert.deepEqual(client.events('events', (event) => event.data.type === 'notification'), []);
});

check('3 join-chat', 'an unknown chat is an error, also without an ack', async (scene) => {
  const client = await scene.connect(await scene.person());
  const payload = { chat_id: randomUUID() };
  assert.equal((await client.call('join-chat', payload)).error.code, 'not_found');
  client.emit('join-chat', payload);
  const error = await client.expect('error');
  assert.deepEqual([error.event, error.code], ['join-chat', 'not_found']);
});

check(['3 events:chat', '4 events chat:list'], 'last_read_at moves the mark and is told to other tabs', async (scene) => {
  const ann = await scene.person();
  const [client, other] = [await scene.connect(ann), await scene.connect(ann)];
  const chat = await scene.chat(ann);
  client.emit('events:chat', { chat_id: chat.id, data: { type: 'last_read_at' } });
  const event = await other.expectChat('chat:list');
  const marked = event.data.data;
  assert.equal(marked.chat_id, chat.id);
  assert.ok(Math.abs(marked.last_read_at - Date.now() / 1000) < 60);
  assert.equal((await ann.http.get(chat.path)).last_read_at, marked.last_read_at);
});

check('3 events:chat', 'unknown types and chats of others are refused', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const chat = await scene.chat(ann);
  const [client, other] = [await scene.connect(ann), await scene.connect(bob)];
  const unknown = await client.call('events:chat', { chat_id: chat.id, data: { type: 'typing' } });
  assert.equal(unknown.error.code, 'unknown_type');
  const payload = { chat_id: chat.id, data: { type: 'last_read_at' } };
  const foreign = await other.call('events:chat', payload);
  assert.equal(foreign.error.code, 'not_found');
  other.emit('events:chat', payload);
  const error = await other.expect('error');
  assert.deepEqual([error.event, error.code], ['events:chat', 'not_found']);
  await scene.settled(client, ann);
  assert.deepEqual(client.events('events', (event) => event.data.type === 'chat:list'), []);
});

check('4 chat-events', 'a session that asks for old names gets this one instead', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann, { auth: { legacy_names: true } });
  const chat = await scene.chat(ann);
  await chat.emit('status', { description: 'old', done: true });
  const event = await client.expect('chat-events', (data) => data.data.type === 'status');
  assert.equal(event.chat_id, chat.id);
  await scene.settled(client, ann);
  assert.deepEqual(client.events('events'), []);
});
