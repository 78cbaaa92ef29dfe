// CONTRACT sections 5 and 7: what a stock client gets back after its transport broke.

import assert from 'node:assert/strict';

import { check } from '../lib/harness.js';

const AWAY = 20;

/** Events `n` that the server published, as the client got them. */
const numbers = (client) => client.events('n').map((data) => data.n);
const upTo = (count) => Array.from({ length: count }, (_, n) => n);

async function publish(scene, room, from, to, server = 'main') {
  for (let n = from; n < to; n += 1) {
    await scene.control('publish', { server, room, event: 'n', data: { n } });
  }
}

/** Wait for the client's next CONNECT. */
function reconnected(client) {
  return new Promise((resolve) => client.socket.once('connect', resolve));
}

// Each way in which a transport breaks.
const BREAKS = {
  'closed by the client': async (scene, client) => {
    client.socket.io.engine.close();
  },
  'cut': async (scene, client) => {
    const { transport } = client.socket.io.engine;
    if (transport.name === 'websocket') {
      transport.ws.terminate();
    } else {
      transport.onError('cut'); // a request that fails is all that polling sees of it
    }
  },
  'closed by the server': async (scene, client) => {
    await scene.control('end_transport', { sid: client.id });
  },
};

for (const [how, breakIt] of Object.entries(BREAKS)) {
  for (const seen of [3, 0]) {
    const after = seen ? 'some events' : 'no event at all';
    check('7 recovery', `a transport ${how} after ${after} brings back id, rooms and what was missed`, async (scene) => {
      const ann = await scene.person();
      const channel = await scene.channel(ann);
      // It returns by itself, but not before we have published what it is to miss.
      const client = await scene.connect(ann, { reconnectionDelay: 400, reconnectionDelayMax: 400 });
      await client.call('user-join', {});
      const { id } = client;
      await publish(scene, `user:${ann.id}`, 0, seen);
      await client.until(() => numbers(client).length === seen, 'the first events');

      const gone = new Promise((resolve) => client.socket.once('disconnect', resolve));
      const back = reconnected(client);
      await breakIt(scene, client);
      await gone;
      await scene.control('detached', { sid: id });
      await publish(scene, `user:${ann.id}`, seen, AWAY);
      await publish(scene, `channel:${channel.id}`, AWAY, 2 * AWAY);
      await back;

      assert.equal(client.socket.recovered, true);
      assert.equal(client.id, id);
      await publish(scene, `channel:${channel.id}`, 2 * AWAY, 2 * AWAY + 1);
      await client.until(() => numbers(client).includes(2 * AWAY), 'an event after it came back');
      await scene.settled(client, ann);
      assert.deepEqual(numbers(client), upTo(2 * AWAY + 1));
    });
  }
}

check('7 recovery', 'a connection that breaks again and again loses and repeats nothing', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const { id } = client;
  const total = 100;
  const publishing = publish(scene, `user:${ann.id}`, 0, total);
  for (let round = 0; round < 5; round += 1) {
    await client.until(() => numbers(client).length >= round * 10, 'some events');
    const back = reconnected(client);
    client.socket.io.engine.close();
    await back;
    assert.equal(client.socket.recovered, true);
    assert.equal(client.id, id);
  }
  await publishing;
  await scene.settled(client, ann);
  assert.deepEqual(numbers(client), upTo(total));
});

check('7 no recovery', "with another user's token the session is a new one, of that user", async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const client = await scene.connect(ann);
  const { id } = client;
  client.socket.auth = { token: bob.token };
  const back = reconnected(client);
  await client.breakTransport();
  await publish(scene, `user:${ann.id}`, 0, 1);
  await back;
  assert.ok(!client.socket.recovered);
  assert.notEqual(client.id, id);
  const ack = await client.call('user-join', {});
  assert.equal(ack.id, bob.id);
  await scene.settled(client, bob);
  assert.deepEqual(numbers(client), []);
});

check('7 no recovery', 'with CONNECTION_RECOVERY_SECONDS=0 a client is told that it was not recovered', async (scene) => {
  const server = 'no_recovery';
  const ann = await scene.person(server);
  const client = await scene.connect(ann, { server });
  await publish(scene, `user:${ann.id}`, 0, 2, server);
  await client.until(() => numbers(client).length === 2, 'the first events');
  assert.ok(client.log.every((each) => each.args.length === 1), 'no offset is sent');
  const { id } = client;
  const back = reconnected(client);
  await client.breakTransport();
  await back;
  assert.ok(!client.socket.recovered);
  assert.notEqual(client.id, id);
  await scene.settled(client, ann, server);
  assert.deepEqual(numbers(client), upTo(2));
});

check('7 no recovery', 'a client that opts out gets no offsets and a new session', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann, { auth: { recovery: false } });
  await publish(scene, `user:${ann.id}`, 0, 2);
  await client.until(() => numbers(client).length === 2, 'the first events');
  assert.ok(client.log.every((each) => each.args.length === 1), 'no offset is sent');
  const { id } = client;
  const back = reconnected(client);
  await client.breakTransport();
  await back;
  assert.ok(!client.socket.recovered);
  assert.notEqual(client.id, id);
  await scene.settled(client, ann);
});

check('7 no recovery', 'a client that left on purpose begins anew', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const { id } = client;
  client.socket.disconnect();
  const back = reconnected(client);
  client.socket.connect();
  await back;
  assert.ok(!client.socket.recovered);
  assert.notEqual(client.id, id);
  await scene.settled(client, ann);
});

check('5 call again', 'a call whose browser reconnects is delivered again, once, and its answer counts', async (scene) => {
  const ann = await scene.person();
  const client = await scene.connect(ann);
  const chat = await scene.chat(ann);
  const path = `${chat.path}/messages/${chat.message}/call`;
  const calling = ann.http.ask('POST', path, { type: 'input', data: {}, session_id: client.id });
  await client.expectChat('input');
  client.answer = () => 'after the break';
  const back = reconnected(client);
  client.socket.io.engine.close();
  await back;
  assert.equal(client.socket.recovered, true);
  const { status, body } = await calling;
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(body.result, 'after the break');
  await scene.settled(client, ann);
  const calls = client.events('events');
  assert.equal(calls.length, 2);
  assert.equal(calls[0].call_id, calls[1].call_id);
});

check('7 order', '500 events keep their order and number, also through the upgrade', async (scene) => {
  const ann = await scene.person();
  const count = 500;
  const flooding = scene.control('flood', { user_id: ann.id, count });
  const client = scene.client({ auth: { token: ann.token } });
  const seen = () => client.events('flood').map((data) => data.number);
  let before = null;
  client.socket.io.once('open', () => {
    client.socket.io.engine.once('upgrade', () => {
      before = seen().length;
    });
  });
  await client.connected({ upgraded: false });
  await flooding;
  await client.until(() => seen().length >= count, 'all events', 20_000);
  assert.deepEqual(seen(), upTo(count));
  if (scene.transport === 'upgrade') {
    await client.upgraded();
    assert.ok(before !== null && before < count, `upgraded after ${before} of ${count}`);
  }
});
