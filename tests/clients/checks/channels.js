// CONTRACT sections 3 and 4: channels.

import assert from 'node:assert/strict';

import { check } from '../lib/harness.js';
import { eventually } from '../lib/scene.js';

async function joined(scene, person, options) {
  const client = await scene.connect(person, options);
  await client.call('user-join', { auth: { token: person.token } });
  return client;
}

/** Two members of a private channel, with a client each. */
async function pair(scene) {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const channel = await scene.channel(ann, bob);
  const [annClient, bobClient] = [await joined(scene, ann), await joined(scene, bob)];
  return { ann, bob, channel, annClient, bobClient };
}

const typing = (channel_id, value = true) => ({
  channel_id, data: { type: 'typing', data: { typing: value } },
});

for (const name of ['events:channel', 'channel-events']) {
  check([`3 ${name}`, '3 ids of clients', '4 channel typing', '4 events:channel'],
    `${name}: typing reaches the room, sender included, under the server's name`, async (scene) => {
      const { ann, channel, annClient, bobClient } = await pair(scene);
      annClient.emit(name, {
        ...typing(channel.id), user: { id: 'forged', name: 'Forged' }, user_id: 'forged',
      });
      for (const client of [annClient, bobClient]) {
        const event = await client.expectChannel('typing');
        assert.equal(event.channel_id, channel.id);
        assert.deepEqual(event.data, { type: 'typing', data: { typing: true } });
        assert.equal(event.user.id, ann.id);
        assert.equal(event.user.name, ann.name);
        assert.equal(event.channel.id, channel.id);
      }
    });
}

check('3 events:channel', 'last_read_at moves the read mark of the member', async (scene) => {
  const { ann, bob, channel, bobClient } = await pair(scene);
  await ann.http.post(`${channel.path}/messages/post`, { content: 'hello' });
  assert.equal((await bob.http.get(channel.path)).unread_count, 1);
  bobClient.emit('events:channel', { channel_id: channel.id, data: { type: 'last_read_at' } });
  await eventually(async () => (await bob.http.get(channel.path)).unread_count === 0, 'all is read');
});

check('3 events:channel', 'an unknown type is refused and reaches nobody', async (scene) => {
  const { ann, bob, channel, annClient, bobClient } = await pair(scene);
  const payload = { channel_id: channel.id, data: { type: 'message', data: { content: 'forged' } } };
  const { error } = await annClient.call('events:channel', payload);
  assert.equal(error.code, 'unknown_type');
  annClient.emit('events:channel', payload);
  const event = await annClient.expect('error');
  assert.equal(event.event, 'events:channel');
  assert.equal(event.code, 'unknown_type');
  await scene.settled(bobClient, bob);
  await scene.settled(annClient, ann);
  assert.deepEqual(bobClient.events('events:channel', (e) => e.data.type === 'message'), []);
});

check(['3 events:channel', '4 error'], 'who is no member is refused', async (scene) => {
  const { bob, channel, bobClient } = await pair(scene);
  const client = await joined(scene, await scene.person());
  for (const payload of [typing(channel.id), { channel_id: channel.id, data: { type: 'last_read_at' } }]) {
    const { error } = await client.call('events:channel', payload);
    assert.ok(['not_found', 'forbidden', 'not_joined'].includes(error.code), error.code);
  }
  client.emit('events:channel', typing(channel.id));
  const event = await client.expect('error');
  assert.equal(event.event, 'events:channel');
  await scene.settled(bobClient, bob);
  assert.deepEqual(bobClient.events('events:channel', (e) => e.data.type === 'typing'), []);
});

check(['4 channel message', '4 channel message:update', '4 channel message:delete',
  '4 channel message:reaction:add', '4 channel message:reaction:remove', '4 events:channel'],
'what happens to a message is told to the room', async (scene) => {
  const { ann, bob, channel, bobClient } = await pair(scene);
  const envelope = (event, message) => {
    assert.equal(event.channel_id, channel.id);
    assert.equal(event.message_id, message);
    assert.equal(event.channel.id, channel.id);
    return event.data.data;
  };

  const posted = await ann.http.post(`${channel.path}/messages/post`, { content: 'hello', temp_id: 't1' });
  let event = await bobClient.expectChannel('message');
  const message = envelope(event, posted.id);
  assert.equal(message.content, 'hello');
  assert.equal(message.temp_id, 't1');
  assert.equal(event.user.id, ann.id);

  const path = `${channel.path}/messages/${posted.id}`;
  await ann.http.post(`${path}/update`, { content: 'hello again' });
  event = await bobClient.expectChannel('message:update');
  assert.equal(envelope(event, posted.id).content, 'hello again');

  await bob.http.post(`${path}/reactions/add`, { name: '+1' });
  event = await bobClient.expectChannel('message:reaction:add');
  const reaction = envelope(event, posted.id);
  assert.equal(reaction.name, '+1');
  assert.deepEqual(reaction.reactions[0].user_ids, [bob.id]);
  assert.equal(event.user.id, bob.id);

  await bob.http.post(`${path}/reactions/remove`, { name: '+1' });
  event = await bobClient.expectChannel('message:reaction:remove');
  assert.deepEqual(envelope(event, posted.id).reactions, []);

  await ann.http.delete(`${path}/delete`);
  event = await bobClient.expectChannel('message:delete');
  envelope(event, posted.id);
});

check('4 channel message:reply', 'a reply is told with its message', async (scene) => {
  const { ann, bob, channel, bobClient } = await pair(scene);
  const post = (body) => ann.http.post(`${channel.path}/messages/post`, body);
  const root = await post({ content: 'a question' });
  const reply = await post({ content: 'an answer', parent_id: root.id });
  const said = await bobClient.expectChannel('message', (event) => event.message_id === reply.id);
  assert.equal(said.data.data.parent_id, root.id);
  const event = await bobClient.expectChannel('message:reply');
  assert.equal(event.message_id, root.id);
  assert.equal(event.data.data.reply_count, 1);
  await scene.settled(bobClient, bob);
});

check('4 channel channel:created', 'a new channel is told to each member, who is in its room', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const [annClient, bobClient] = [await joined(scene, ann), await joined(scene, bob)];
  const channel = await scene.channel(ann, bob);
  for (const client of [annClient, bobClient]) {
    const event = await client.expectChannel('channel:created');
    assert.equal(event.channel_id, channel.id);
    assert.equal(event.channel.id, channel.id);
  }
  await ann.http.post(`${channel.path}/messages/post`, { content: 'welcome' });
  await annClient.expectChannel('message');
  await bobClient.expectChannel('message');
});

check('4 events:channel', 'who is taken out hears nothing more', async (scene) => {
  const { ann, bob, channel, annClient, bobClient } = await pair(scene);
  await ann.http.post(`${channel.path}/update/members/remove`, { user_ids: [bob.id] });
  await ann.http.post(`${channel.path}/messages/post`, { content: 'between us' });
  await annClient.expectChannel('message');
  await scene.settled(bobClient, bob);
  assert.deepEqual(bobClient.events('events:channel', (event) => event.data.type === 'message'), []);
});

check('4 channel-events', 'a session that asks for old names gets this one instead', async (scene) => {
  const ann = await scene.person();
  const channel = await scene.channel(ann);
  const client = await joined(scene, ann, { auth: { legacy_names: true } });
  const posted = await ann.http.post(`${channel.path}/messages/post`, { content: 'hello' });
  const event = await client.expect('channel-events', (data) => data.data.type === 'message');
  assert.equal(event.message_id, posted.id);
  assert.equal(event.channel_id, channel.id);
  await scene.settled(client, ann);
  assert.deepEqual(client.events('events:channel'), []);
});
