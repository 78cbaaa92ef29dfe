// CONTRACT sections 4 and 5: every type the emitter takes, as events and in the database.

import assert from 'node:assert/strict';

import { check } from '../lib/harness.js';

const source = (name) => ({
  source: { name, url: `https://${name}.example` }, document: ['a passage'], metadata: [{ source: name }],
});

// Every chat type with data that fits it.
const TYPES = {
  status: { description: 'Looking around', done: false },
  message: { content: ' far' },
  'chat:message:delta': { content: ' good' },
  replace: { content: 'Anew' },
  'chat:message': { content: 'Anew again' },
  files: { files: [{ type: 'image', url: '/a.png' }] },
  'chat:message:files': { files: [{ type: 'image', url: '/b.png' }] },
  embeds: { embeds: ['<p>one</p>'] },
  'chat:message:embeds': { embeds: ['<p>two</p>'] },
  source: source('first'),
  citation: source('second'),
  'chat:completion': { content: 'partial', done: false },
  'chat:title': 'A better title',
  'chat:tags': ['one', 'two'],
  'chat:tasks:cancel': null,
  'chat:active': { active: false },
  'chat:list': { chat_id: 'x' },
  'chat:message:error': { error: { content: 'It failed.' } },
  'chat:message:follow_ups': { follow_ups: ['And then?'] },
  notification: { type: 'success', content: 'Done.' },
};

for (const [type, data] of Object.entries(TYPES)) {
  check([`4 events ${type}`, '4 events'], `${type} arrives as it was emitted`, async (scene) => {
    const ann = await scene.person();
    const client = await scene.connect(ann);
    const chat = await scene.chat(ann);
    await chat.emit(type, data);
    const event = await client.expectChat(type);
    assert.equal(event.chat_id, chat.id);
    assert.equal(event.message_id, chat.message);
    assert.deepEqual(event.data, { type, data });
  });
}

/** Emit in order, wait until all has arrived, and read the message back. */
async function emitAll(scene, events) {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const chat = await scene.chat(ann);
  for (const [type, data] of events) {
    await chat.emit(type, data);
    const event = await client.expectChat(type);
    assert.deepEqual(event.data.data, data);
  }
  return chat.stored();
}

check('5 status', 'is appended to the status history', async (scene) => {
  const [first, second] = [{ description: 'one', done: false }, { description: 'two', done: true, hidden: true }];
  const stored = await emitAll(scene, [['status', first], ['status', second]]);
  assert.deepEqual(stored.statusHistory, [first, second]);
});

check('5 message', 'is appended to the content', async (scene) => {
  const stored = await emitAll(scene, [
    ['message', { content: ' far,' }], ['chat:message:delta', { content: ' so good 👍' }],
  ]);
  assert.equal(stored.content, 'So far, so good 👍');
});

check('5 replace', 'replaces the content', async (scene) => {
  const stored = await emitAll(scene, [
    ['message', { content: ' what' }], ['replace', { content: 'Anew' }], ['message', { content: '!' }],
  ]);
  assert.equal(stored.content, 'Anew!');
  const again = await emitAll(scene, [['chat:message', { content: 'The old name' }]]);
  assert.equal(again.content, 'The old name');
});

check('5 embeds', 'extends the embeds, or replaces them', async (scene) => {
  const extended = await emitAll(scene, [
    ['embeds', { embeds: ['<p>1</p>'] }], ['chat:message:embeds', { embeds: ['<p>2</p>', '<p>3</p>'] }],
  ]);
  assert.deepEqual([...extended.embeds].sort(), ['<p>1</p>', '<p>2</p>', '<p>3</p>']);
  const replaced = await emitAll(scene, [
    ['embeds', { embeds: ['<p>1</p>'] }], ['embeds', { embeds: ['<p>2</p>'], replace: true }],
  ]);
  assert.deepEqual(replaced.embeds, ['<p>2</p>']);
});

check('5 files', 'extends the files', async (scene) => {
  const [a, b] = [{ type: 'file', name: 'a' }, { type: 'file', name: 'b' }];
  const stored = await emitAll(scene, [['files', { files: [a] }], ['chat:message:files', { files: [b] }]]);
  assert.deepEqual(stored.files.map((each) => each.name).sort(), ['a', 'b']);
});

check('5 source', 'is appended to the sources, unless it has a type', async (scene) => {
  const stored = await emitAll(scene, [
    ['source', source('first')],
    ['citation', source('second')],
    ['source', { type: 'code_execution', id: 'x', name: 'run', code: '1' }],
  ]);
  assert.deepEqual(stored.sources, [source('first'), source('second')]);
});

check('5 concurrent tools', 'lose nothing', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const chat = await scene.chat(ann);
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  await Promise.all(numbers.flatMap((number) => [
    chat.emit('message', { content: `[${number}]` }),
    chat.emit('status', { description: `status ${number}`, done: true }),
    chat.emit('source', source(`source-${number}`)),
    chat.emit('files', { files: [{ name: `file ${number}` }] }),
  ]));
  await client.until(() => client.events('events').length >= 80, '80 events');
  const stored = await chat.stored();
  const said = stored.content.match(/\[\d+\]/g).map((each) => Number(each.slice(1, -1)));
  const inOrder = (values) => values.map(Number).sort((a, b) => a - b);
  assert.deepEqual(inOrder(said), numbers);
  assert.equal(stored.content.length, 'So'.length + numbers.join('').length + 2 * numbers.length);
  assert.deepEqual(inOrder(stored.statusHistory.map((each) => each.description.slice(7))), numbers);
  assert.deepEqual(inOrder(stored.sources.map((each) => each.source.name.slice(7))), numbers);
  assert.deepEqual(inOrder(stored.files.map((each) => each.name.slice(5))), numbers);
});

check('5 message', 'a tool emits into an answer in flight in step with its deltas', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const chat = await scene.chat(ann);
  const { message } = await scene.ask(ann, client, chat.id, '/status {"description": "from a tool"}');
  const status = await client.expectChat('status', (event) => event.data.data.description === 'from a tool');
  assert.equal(status.message_id, message);
  await client.expectChat('chat:completion', (event) => event.data.data.done === true);
  const stored = (await ann.http.get(chat.path)).chat.history.messages[message];
  assert.ok(stored.statusHistory.some((each) => each.description === 'from a tool'));
});

check('5 status', 'an event of an unknown type, a wrong shape or a chat of others is refused', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const chat = await scene.chat(ann);
  const path = `${chat.path}/messages/${chat.message}/event`;
  const good = { type: 'status', data: { description: 'x', done: true } };
  const answers = [
    [await ann.http.ask('POST', path, { type: 'coffee', data: {} }), 422, 'unknown_type'],
    [await ann.http.ask('POST', path, { type: 'status', data: { done: true } }), 422, 'bad_payload'],
    [await bob.http.ask('POST', path, good), 404, 'not_found'],
  ];
  for (const [answer, status, code] of answers) {
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    assert.equal(answer.body.code, code);
    assert.equal(typeof answer.body.detail, 'string');
  }
  assert.equal((await chat.stored()).statusHistory, undefined);
});
