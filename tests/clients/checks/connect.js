// CONTRACT section 3, connect: who gets in, and why not.

import assert from 'node:assert/strict';

import { check } from '../lib/harness.js';

const ROW = '3 connect';

check(ROW, 'a good token connects and enters the room of its user', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  assert.ok(client.id);
  assert.equal(client.socket.recovered, false);
  await scene.settled(client, ann);
});

async function refusal(scene, options) {
  const error = await scene.client({ reconnection: false, ...options }).refused();
  assert.equal(typeof error.message, 'string');
  return error.data?.code;
}

check(ROW, 'no token is refused as token_missing', async (scene) => {
  assert.equal(await refusal(scene, {}), 'token_missing');
  assert.equal(await refusal(scene, { auth: { token: '' } }), 'token_missing');
  assert.equal(await refusal(scene, { auth: { token: 42 } }), 'token_missing');
});

const CODES = {
  malformed: 'token_invalid',
  expired: 'token_expired',
  foreign: 'token_invalid',
  unsigned: 'token_invalid',
  nobody: 'user_unknown',
};

for (const [kind, code] of Object.entries(CODES)) {
  check(ROW, `a token that is ${kind} is refused as ${code}`, async (scene) => {
    assert.equal(await refusal(scene, { auth: { token: scene.config.bad_tokens[kind] } }), code);
  });
}

check(ROW, 'a token in the Authorization header connects', async (scene) => {
  const ann = await scene.person();
  const extraHeaders = { Authorization: `Bearer ${ann.token}` };
  const client = await scene.client({ extraHeaders }).connected();
  const ack = await client.call('user-join', {});
  assert.equal(ack.id, ann.id);
});

check(ROW, 'a token in the address is not looked at', async (scene) => {
  const ann = await scene.person();
  const query = { token: ann.token, auth: ann.token };
  assert.equal(await refusal(scene, { query }), 'token_missing');
});

check(ROW, 'who was refused may try again with a good token on the same connection', async (scene) => {
  const ann = await scene.person();
  const client = scene.client({ auth: { token: 'nonsense' } });
  const error = await client.refused();
  assert.equal(error.data.code, 'token_invalid');
  client.socket.auth = { token: ann.token };
  client.socket.connect();
  await client.connected();
  await scene.settled(client, ann);
});

check(ROW, 'with ALWAYS_CONNECT a socket without a token is in no room until user-join', async (scene) => {
  const server = 'always_connect';
  const ann = await scene.person(server);
  const client = await scene.client({}, server).connected();

  const early = await client.call('join-channels', {});
  assert.equal(early.error.code, 'token_missing');
  await scene.control('publish', { server, room: `user:${ann.id}`, event: 'early', data: {} });

  const refused = await client.call('user-join', { auth: { token: 'nonsense' } });
  assert.equal(refused.error.code, 'token_invalid');
  const missing = await client.call('user-join', {});
  assert.equal(missing.error.code, 'token_missing');

  const ack = await client.call('user-join', { auth: { token: ann.token } });
  assert.deepEqual(ack, { id: ann.id, name: ann.name });
  await scene.settled(client, ann, server);
  assert.deepEqual(client.events('early'), []);
});
