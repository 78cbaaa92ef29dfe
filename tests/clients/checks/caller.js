// CONTRACT sections 4 and 5: calls into the browser, answered by the client's ack.

import assert from 'node:assert/strict';

import { check } from '../lib/harness.js';
import { Http } from '../lib/scene.js';

// A call of each type, and an answer a browser may give to it.
const CALLS = {
  confirmation: [{ title: 'Sure?', message: 'It cannot be undone.' }, true],
  input: [{ title: 'Name', message: 'Yours?', placeholder: 'Ann' }, 'Ann'],
  'execute:python': [{ id: 'c1', code: 'print(1)', files: [] }, { stdout: '1\n', stderr: '', result: null }],
  'execute:tool': [{ id: 't1', name: 'weather', params: { city: 'Oslo' } }, { result: ['rain', 7] }],
  'request:chat:completion': [{ form_data: { model: 'mine', messages: [] } }, { status: true }],
};

async function stage(scene, options) {
  const ann = await scene.person();
  const client = await scene.connect(ann, options);
  const chat = await scene.chat(ann);
  const call = (type, data, session_id = client.id) =>
    ann.http.ask('POST', `${chat.path}/messages/${chat.message}/call`, { type, data, session_id });
  return { ann, client, chat, call };
}

for (const [type, [data, answer]] of Object.entries(CALLS)) {
  check(`4 call ${type}`, `${type} is answered by the ack of its session alone`, async (scene) => {
    const { ann, client, chat, call } = await stage(scene);
    const other = await scene.connect(ann);
    let asked;
    client.answer = (name, event) => {
      asked = { name, event };
      return answer;
    };
    const { status, body } = await call(type, data);
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(body, { result: answer });
    assert.equal(asked.name, 'events');
    assert.equal(asked.event.chat_id, chat.id);
    assert.equal(asked.event.message_id, chat.message);
    assert.equal(asked.event.data.type, type);
    for (const [field, value] of Object.entries(data)) assert.deepEqual(asked.event.data.data[field], value);
    await scene.settled(other, ann);
    assert.deepEqual(other.events('events'), []);
  });
}

check('4 call confirmation', 'reaches a session with old names as chat-events', async (scene) => {
  const { client, call } = await stage(scene, { auth: { legacy_names: true } });
  client.answer = (name) => (name === 'chat-events' ? false : undefined);
  const { body } = await call('confirmation', { title: '', message: '' });
  assert.deepEqual(body, { result: false });
});

check('4 call execute', 'is refused: no JavaScript is run in a page', async (scene) => {
  const { ann, client, call } = await stage(scene);
  const { status, body } = await call('execute', { code: 'alert(1)' });
  assert.equal(status, 409);
  assert.equal(body.code, 'not_supported');
  await scene.settled(client, ann);
  assert.deepEqual(client.events('events'), []);
});

const TOOLS = [
  ['confirmation', '/confirm {"title": "Sure?"}', true, /confirmed/],
  ['input', '/ask {"message": "Your name?"}', 'Ann-Marie', /Ann-Marie/],
  ['execute:python', '/python {"code": "print(6*7)"}', { stdout: 'forty-two', stderr: '', result: null }, /forty-two/],
];

for (const [type, command, answer, expected] of TOOLS) {
  check(`4 call ${type}`, `a tool's ${type} is answered in the middle of an answer`, async (scene) => {
    const { ann, client, chat } = await stage(scene);
    client.answer = (_, event) => (event.data.type === type ? answer : undefined);
    const { message } = await scene.ask(ann, client, chat.id, command);
    await client.expectChat('chat:completion', (event) => event.message_id === message && event.data.data.done);
    const stored = (await ann.http.get(chat.path)).chat.history.messages[message];
    assert.match(stored.content, expected);
  });
}

check('4 call request:chat:completion', "a user's own model streams over the channel it was given", async (scene) => {
  const { ann, client, chat } = await stage(scene);
  const line = (content) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}`;
  const end = `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}`;
  client.answer = (_, event) => {
    if (event.data.type !== 'request:chat:completion') return undefined;
    const { channel, form_data } = event.data.data;
    assert.equal(form_data.messages.at(-1).content, 'Hello there');
    for (const piece of [line('My '), line('own '), line('model'), end, 'data: [DONE]']) client.emit(channel, piece);
    client.emit(channel, { done: true });
    return { status: true };
  };
  const item = { model: 'mine', model_item: { id: 'mine', direct: true } };
  const { message } = await scene.ask(ann, client, chat.id, 'Hello there', item);
  await client.expectChat('chat:completion', (event) => event.message_id === message && event.data.data.done);
  const said = client.events('events', (event) => event.message_id === message && event.data.type === 'message');
  assert.equal(said.map((event) => event.data.data.content).join(''), 'My own model');
  const stored = (await ann.http.get(chat.path)).chat.history.messages[message];
  assert.equal(stored.content, 'My own model');
});

check('4 call request:chat:completion', 'only the session that was asked may send the lines', async (scene) => {
  const { ann, client, chat } = await stage(scene);
  const intruder = await scene.connect(await scene.person());
  const line = (content) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}`;
  const asking = scene.ask(ann, client, chat.id, 'Hello', { model: 'mine', model_item: { direct: true } });
  let channel;
  client.answer = (_, event) => {
    if (event.data.type !== 'request:chat:completion') return undefined;
    channel = event.data.data.channel;
    return { status: true };
  };
  const { message } = await asking;
  await client.until(() => channel, 'request:chat:completion');
  const forged = await intruder.call(channel, line('forged'));
  assert.equal(forged.error.code, 'unknown_event');
  client.emit(channel, line('genuine'));
  client.emit(channel, 'data: [DONE]');
  client.emit(channel, { done: true });
  await client.expectChat('chat:completion', (event) => event.message_id === message && event.data.data.done);
  const stored = (await ann.http.get(chat.path)).chat.history.messages[message];
  assert.equal(stored.content, 'genuine');
});

check('5 call of a wrong session', 'fails at once and reaches nobody', async (scene) => {
  const { call } = await stage(scene);
  const bob = await scene.person();
  const foreign = await scene.connect(bob);
  foreign.answer = () => true;
  for (const session of [foreign.id, 'nobody']) {
    const began = Date.now();
    const { status, body } = await call('confirmation', {}, session);
    assert.equal(status, 409);
    assert.equal(body.code, 'session_gone');
    assert.equal(typeof body.detail, 'string');
    assert.ok(Date.now() - began < scene.config.call_seconds * 1000, 'at once');
  }
  await scene.settled(foreign, bob);
  assert.deepEqual(foreign.events('events'), []);
});

check('5 call of a wrong session', 'fails when the session leaves before it answers', async (scene) => {
  const { client, call } = await stage(scene);
  const calling = call('confirmation', {});
  await client.expectChat('confirmation');
  client.close();
  const { status, body } = await calling;
  assert.equal(status, 409);
  assert.equal(body.code, 'session_gone');
});

check('5 call deadline', 'ends a call that nobody answers; a late answer changes nothing', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const chat = await scene.chat(ann);
  const http = new Http(scene.config.servers.main, ann.token);
  let late;
  client.socket.on('events', (...args) => {
    late = args.at(-1);
  });
  const body = { type: 'confirmation', data: {}, session_id: client.id };
  const answer = await http.ask('POST', `${chat.path}/messages/${chat.message}/call`, body);
  assert.equal(answer.status, 409);
  assert.equal(answer.body.code, 'call_timeout');
  late(true);
  await scene.settled(client, ann);
  assert.ok(client.socket.connected);
});
