import { expect, test } from 'vitest';
import { ChannelDirectory, type ChannelNews } from '$lib/realtime';
import { startServer, until } from './server';
import { atEnd, join, type Member, url } from './channels';

await join('Admin'); // the first of a server sees everything

async function directory(member: Member) {
  const list = atEnd(new ChannelDirectory(member.connection, member.api, member.person));
  const news: string[] = [];
  list.onnews(({ channel, message, reply }: ChannelNews) =>
    news.push(`${channel.name}: ${message.content}${reply ? ' (reply)' : ''}`),
  );
  await list.refresh();
  const find = (id: string) => list.entries.find((channel) => channel.id === id);
  return { list, news, find, unread: (id: string) => find(id)?.unread_count };
}

/** Ann and Ben with a list each, and a channel of Ann's. */
async function scene(base = url) {
  const [ann, ben] = await Promise.all([join('Ann', base), join('Ben', base)]);
  const [anns, bens] = await Promise.all([directory(ann), directory(ben)]);
  const { id } = await ann.api.createChannel({ name: `channel ${Math.random()}` });
  await until(() => anns.find(id) && bens.find(id), 'both have the channel');
  return { id, ann, ben, anns, bens };
}

test('a new channel is there for everybody, for its maker as its manager', async () => {
  const { id, anns, bens, ann } = await scene();
  await until(() => anns.find(id)?.is_manager);
  expect(bens.find(id)?.is_manager).toBe(false);
  await ann.api.updateChannel(id, { name: 'renamed' });
  await until(() => bens.find(id)?.name === 'renamed');
  await ann.api.deleteChannel(id);
  await until(() => !anns.find(id) && !bens.find(id));
});

test('messages of others are unread, own ones and replies are not', async () => {
  const { id, ann, ben, anns, bens } = await scene();
  const { id: root } = await ann.api.postMessage(id, { content: 'one' });
  await ann.api.postMessage(id, { content: 'a reply', parent_id: root });
  await ann.api.postMessage(id, { content: 'two' });
  await until(() => bens.unread(id) === 2);
  expect(anns.unread(id)).toBe(0);
  const name = bens.find(id)?.name;
  const mine = bens.news.filter((each) => each.startsWith(`${name}`));
  expect(mine).toEqual([`${name}: one`, `${name}: two`]);
  expect((await directory(ben)).unread(id)).toBe(2); // as the server counts
  await ben.api.postMessage(id, { content: 'a reply to Ann', parent_id: root });
  await until(() => anns.news.includes(`${name}: a reply to Ann (reply)`));
});

test('what is deleted is not unread, whether the server or events had counted it', async () => {
  const { id, ann, ben, bens } = await scene();
  const old = await ann.api.postMessage(id, { content: 'old' });
  await until(() => bens.unread(id) === 1);
  const later = await directory(ben);
  const fresh = await ann.api.postMessage(id, { content: 'fresh' });
  await until(() => bens.unread(id) === 2 && later.unread(id) === 2);
  await ann.api.deleteMessage(id, old.id);
  await until(() => bens.unread(id) === 1 && later.unread(id) === 1);
  await ann.api.deleteMessage(id, fresh.id);
  await until(() => bens.unread(id) === 0 && later.unread(id) === 0);
});

test('what is read in one window is read in the other', async () => {
  const { id, ann, ben, bens } = await scene();
  await ann.api.postMessage(id, { content: 'one' });
  await until(() => bens.unread(id) === 1);
  const other = await directory(ben);
  const room = await ben.open(id, true);
  await until(() => bens.unread(id) === 0 && other.unread(id) === 0);
  room.close();
  await ann.api.postMessage(id, { content: 'two' });
  await until(() => bens.unread(id) === 1 && other.unread(id) === 1);
});

test('nothing is unread, or news, where somebody looks', async () => {
  const { id, ann, bens } = await scene();
  const { id: elsewhere } = await ann.api.createChannel({ name: 'elsewhere' });
  await until(() => bens.find(elsewhere));
  bens.list.look(id);
  await ann.api.postMessage(id, { content: 'seen' });
  await ann.api.postMessage(elsewhere, { content: 'unseen' });
  await until(() => bens.unread(elsewhere) === 1);
  expect(bens.unread(id)).toBe(0);
  expect(bens.news).toContain('elsewhere: unseen');
  expect(bens.news.filter((each) => each.endsWith(': seen'))).toEqual([]);
});

test('a private channel comes with membership and goes with it', async () => {
  const { ann, ben, bens } = await scene();
  const { id } = await ann.api.createChannel({ name: 'secret', private: true });
  await ann.api.postMessage(id, { content: 'history' });
  await ann.api.addMembers(id, [ben.person.id]);
  await until(() => bens.find(id));
  await ann.api.postMessage(id, { content: 'news' });
  await until(() => bens.unread(id) === 1);
  await ann.api.removeMembers(id, [ben.person.id]);
  await until(() => !bens.find(id));
});

test('a public channel that becomes private leaves the lists of others', async () => {
  const { id, ann, anns, bens } = await scene();
  await ann.api.updateChannel(id, { private: true });
  await until(() => !bens.find(id));
  expect(anns.find(id)?.private).toBe(true);
  await ann.api.updateChannel(id, { private: false });
  await until(() => bens.find(id));
});

test('every page of the list is read', async () => {
  const { ann, anns } = await scene();
  const numbers = Array.from({ length: 205 }, (_, number) => number);
  for (const n of numbers) await ann.api.createChannel({ name: `many ${n}`, private: true });
  await anns.list.refresh();
  const names = new Set(anns.list.entries.map((channel) => channel.name));
  expect(numbers.filter((n) => !names.has(`many ${n}`))).toEqual([]);
});

test('after a server that was killed the counts are right', async () => {
  const server = await startServer();
  try {
    await join('Admin', server.url);
    const { id, ann, bens } = await scene(server.url);
    await ann.api.postMessage(id, { content: 'one' });
    await until(() => bens.unread(id) === 1);
    await server.stop('SIGKILL');
    await server.start();
    await ann.api.postMessage(id, { content: 'two' }); // before Ben is back
    await until(() => bens.unread(id) === 2);
    await ann.api.postMessage(id, { content: 'three' });
    await until(() => bens.unread(id) === 3);
  } finally {
    await server.remove();
  }
});
