import { afterEach, expect, test, vi } from 'vitest';
import { startServer, until } from './server';
import { atEnd, join, said, scene, texts } from './channels';

afterEach(() => vi.restoreAllMocks());

test('what is said is shown at once, and once, by its author and by the others', async () => {
  const { anns, bens } = await scene();
  const sending = anns.send('Hello');
  expect(texts(anns)).toEqual(['Hello (sending)']);
  const key = anns.feed.entries[0]?.key;
  await sending;
  await said(bens, 'Hello');
  expect(texts(anns)).toEqual(['Hello']);
  expect(anns.feed.entries[0]?.key).toBe(key); // nothing flickers when the server has it
  expect(texts(bens)).toEqual(['Hello']);
});

test('an answer that comes before the event, and one that comes after it, make one message', async () => {
  const { ann, anns, bens } = await scene();
  const post = ann.api.postMessage;
  ann.api.postMessage = async (...form) => {
    const message = await post(...form);
    await said(bens, message.content);
    await until(() => anns.feed.get(message.id), 'the event has come');
    return message;
  };
  await anns.send('after');
  expect(texts(anns)).toEqual(['after']);
  expect(anns.feed.entries).toHaveLength(1);
});

test('everybody sees the same order, however many talk at once', async () => {
  const { anns, bens } = await scene();
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  await Promise.all(numbers.map((n) => (n % 2 ? anns : bens).send(`message ${n}`)));
  await until(() => anns.feed.entries.length === 20 && bens.feed.entries.length === 20);
  const order = texts(anns);
  expect(new Set(order).size).toBe(20);
  await until(() => texts(bens).join() === texts(anns).join(), 'the same order');
  const times = anns.feed.entries.map((entry) => entry.message.created_at);
  expect(times).toEqual(times.toSorted((one, other) => one - other));
});

test('older messages are read in pages, without a gap, while others are said and deleted', async () => {
  const { id, ann, ben } = await scene();
  for (let n = 0; n < 130; n += 1) await ann.api.postMessage(id, { content: `${n}` });
  const room = await ben.open(id);
  expect(room.feed.entries).toHaveLength(50);
  expect(room.feed.more).toBe(true);
  const reading = room.loadOlder();
  await ann.api.postMessage(id, { content: '130' });
  await ann.api.deleteMessage(id, room.feed.entries.at(-2)?.message.id ?? '');
  await Promise.all([reading, room.loadOlder()]); // asked for twice, read once
  await room.loadOlder();
  await until(() => room.feed.entries.length === 130);
  expect(room.feed.more).toBe(false);
  const expected = Array.from({ length: 131 }, (_, n) => `${n}`).filter((text) => text !== '128');
  expect(texts(room)).toEqual(expected);
});

test('edits, deletions and reactions reach everybody', async () => {
  const { anns, bens } = await scene();
  await anns.send('Mistaek');
  const { id } = await said(bens, 'Mistaek');
  await anns.edit(id, 'Mistake');
  await said(bens, 'Mistake');
  await bens.react(id, '👍');
  await anns.react(id, '👍');
  await until(() => bens.feed.get(id)?.reactions[0]?.count === 2);
  expect(anns.feed.get(id)?.reactions[0]?.users.map((user) => user.name)).toEqual(['Ben', 'Ann']);
  await bens.react(id, '👍'); // takes it back
  await until(() => anns.feed.get(id)?.reactions[0]?.count === 1);
  await expect(bens.edit(id, 'Nonsense')).rejects.toMatchObject({ code: 'forbidden' });
  await anns.remove(id);
  await until(() => bens.feed.entries.length === 0);
  expect(anns.feed.entries).toHaveLength(0);
});

test('two clicks on a reaction are one', async () => {
  const { anns, bens } = await scene();
  await anns.send('Hello');
  const { id } = await said(bens, 'Hello');
  await Promise.all([bens.react(id, '👍'), bens.react(id, '👍')]);
  await until(() => anns.feed.get(id)?.reactions[0]?.count === 1);
});

test('a thread has its replies, and its root counts them', async () => {
  const { anns, bens } = await scene();
  await anns.send('Question');
  const { id } = await said(bens, 'Question');
  await Promise.all([anns.openThread(id), bens.openThread(id)]);
  await bens.send('Answer', bens.thread);
  const replies = () => (anns.thread ? texts(anns, anns.thread.feed) : []);
  await until(() => replies().includes('Answer'));
  expect(replies()).toEqual(['Question', 'Answer']);
  expect(texts(anns)).toEqual(['Question']);
  await until(() => anns.feed.get(id)?.reply_count === 1);
  const reply = anns.thread?.feed.entries.at(-1)?.message.id ?? '';
  await anns.openThread(null);
  await anns.openThread(reply); // the thread that it is in
  expect(anns.thread?.rootId).toBe(id);
  await bens.remove(reply);
  await until(() => anns.feed.get(id)?.reply_count === 0);
  await anns.remove(id);
  await until(() => bens.thread === null, 'the thread is gone with its root');
  await expect(bens.openThread(id)).rejects.toMatchObject({ code: 'not_found' });
});

test('a message that is refused does not stay, one that cannot be sent now does', async () => {
  const { ann, anns, bens } = await scene();
  await expect(anns.send('x'.repeat(100_001))).rejects.toMatchObject({ code: 'too_large' });
  expect(texts(anns)).toEqual([]);
  await anns.send('y'.repeat(100_000));
  await until(() => bens.feed.entries[0]?.message.content.length === 100_000);
  await anns.remove(anns.feed.entries[0]?.message.id ?? '');
  const post = ann.api.postMessage;
  ann.api.postMessage = () => post('no such channel'.replaceAll(' ', '/') as never, null as never);
  vi.spyOn(globalThis, 'fetch').mockRejectedValue(new TypeError('no network'));
  await anns.send('Later');
  expect(texts(anns)).toEqual(['Later (failed)']);
  expect(anns.failed).toHaveLength(1);
  vi.restoreAllMocks();
  ann.api.postMessage = post;
  const key = anns.feed.entries[0]?.key ?? '';
  await Promise.all([anns.resend(key), anns.resend(key)]);
  await said(bens, 'Later');
  expect(texts(anns)).toEqual(['Later']);
});

test('a message that arrived, though its answer got lost, is not sent twice', async () => {
  const { ann, anns, bens } = await scene();
  const post = ann.api.postMessage;
  ann.api.postMessage = async (...form) => {
    await post(...form);
    throw new Error('the answer got lost');
  };
  await anns.send('Once');
  await said(bens, 'Once');
  await until(() => texts(anns).join() === 'Once', 'its event has told');
  await anns.resend(anns.feed.entries[0]?.key ?? '');
  expect(texts(bens)).toEqual(['Once']);
});

test('typing of others is told, ends with a message, and is forgotten', async () => {
  const { anns, bens } = await scene();
  const typing = () => anns.typing.in(null).map((person) => person.name);
  bens.typing.tell(null);
  await until(() => typing().includes('Ben'));
  expect(bens.typing.in(null)).toEqual([]); // not of oneself
  await bens.send('Here I am');
  await until(() => typing().length === 0);
  await said(anns, 'Here I am');
  const forgotten = vi.spyOn(bens.typing, 'stop').mockImplementation(() => undefined);
  bens.typing.tell('thread-1');
  await until(() => anns.typing.in('thread-1').length === 1);
  expect(typing()).toEqual([]);
  await until(() => anns.typing.in('thread-1').length === 0, 'forgotten', 8_000);
  forgotten.mockRestore();
});

test('the read mark moves while somebody looks, and new messages have a line before them', async () => {
  const { id, ann, ben, anns } = await scene();
  await anns.send('one');
  const room = await ben.open(id);
  const unread = async () => (await ben.api.channel(id)).unread_count;
  expect(room.read.line).not.toBeNull();
  const [first] = room.feed.entries;
  expect(first && first.message.created_at > (room.read.line ?? Infinity)).toBe(true);
  expect(await unread()).toBe(1);
  room.read.watch(true);
  await until(async () => (await unread()) === 0);
  await anns.send('two');
  await said(room, 'two');
  await until(async () => (await unread()) === 0);
  room.read.watch(false);
  await anns.send('three');
  const { created_at } = await said(room, 'three');
  expect(await unread()).toBe(1);
  const two = room.feed.entries.at(-2)?.message.created_at;
  expect(room.read.line).toBe(two);
  expect(created_at).toBeGreaterThan(two ?? Infinity);
  expect((await ann.api.channel(id)).unread_count).toBe(0);
});

test('who is removed from a private channel, or whose channel is deleted, is told', async () => {
  const [, ann, ben] = [await join(), await join(), await join()];
  const { id } = await ann.api.createChannel({ name: 'secret', private: true });
  await ann.api.addMembers(id, [ben.person.id]);
  const bens = await ben.open(id);
  const anns = await ann.open(id);
  await ann.api.removeMembers(id, [ben.person.id]);
  await until(() => bens.phase === 'gone');
  await anns.send('Without Ben');
  expect(texts(bens)).toEqual([]);
  await ann.api.addMembers(id, [ben.person.id]);
  await until(() => bens.phase === 'ready', 'it is there again');
  await said(bens, 'Without Ben');
  await ann.api.deleteChannel(id);
  await until(() => anns.phase === 'gone' && bens.phase === 'gone');
});

test('a channel that becomes private is gone for those who are not in it', async () => {
  const { id, ann, bens, anns } = await scene();
  await ann.api.updateChannel(id, { name: 'closed', private: true });
  await until(() => bens.phase === 'gone');
  await until(() => anns.channel?.private && anns.channel.name === 'closed');
  expect(anns.phase).toBe('ready');
});

test('an administrator reads a private channel without being in it', async () => {
  const server = await startServer();
  try {
    const [admin, ann] = [await join('Admin', server.url), await join('Ann', server.url)];
    const { id } = await ann.api.createChannel({ name: 'secret', private: true });
    await ann.api.postMessage(id, { content: 'Hello' });
    const room = await admin.open(id);
    expect(room.live).toBe(false);
    expect(texts(room)).toEqual(['Hello']);
    await room.send('Hello from above');
    expect(texts(room)).toEqual(['Hello', 'Hello from above']);
  } finally {
    await server.remove();
  }
});

test('a server that is killed and started again: nothing is lost, nothing is there twice', async () => {
  const server = await startServer();
  try {
    const { id, ann, ben, anns, bens } = await scene(server.url);
    await anns.send('before');
    const { id: before } = await said(bens, 'before');
    await bens.openThread(before);
    await server.stop('SIGKILL');
    await anns.send('meanwhile');
    expect(texts(anns)).toEqual(['before', 'meanwhile (failed)']);
    await server.start();
    // Said before either of them is back.
    await ann.api.postMessage(id, { content: 'early' });
    await ann.api.postMessage(id, { content: 'reply', parent_id: before });
    await said(bens, 'early');
    await until(() => bens.feed.get(before)?.reply_count === 1);
    await until(() => bens.thread && texts(bens, bens.thread.feed).includes('reply'));
    await until(() => ben.connection.connected && ann.connection.connected);
    await anns.resend(anns.failed[0]?.key ?? '');
    await said(bens, 'meanwhile');
    expect(texts(bens)).toEqual(['before', 'early', 'meanwhile']);
    await until(() => texts(anns).join() === texts(bens).join(), 'the same on both sides');
    await bens.send('after');
    await said(anns, 'after');
  } finally {
    await server.remove();
  }
});

test('a room that is opened in the middle of a conversation ends with all of it', async () => {
  const { id, ann, ben, anns } = await scene();
  const sending = (async () => {
    for (let n = 0; n < 40; n += 1) {
      const { id: message } = await ann.api.postMessage(id, { content: `${n}` });
      if (n % 4 === 0) await ann.api.editMessage(id, message, `${n} edited`);
      if (n % 4 === 1) await ann.api.deleteMessage(id, message);
    }
  })();
  const others = [];
  for (let n = 0; n < 8; n += 1) others.push(await ben.open(id));
  await sending;
  await said(anns, '39');
  expect(anns.feed.entries).toHaveLength(30);
  for (const other of others) {
    await until(() => texts(other).join() === texts(anns).join(), 'the same');
    atEnd(other);
  }
});
