import 'fake-indexeddb/auto';
import { createStore, keys } from 'idb-keyval';
import { afterEach, expect, test, vi } from 'vitest';
import { PendingUpdates } from '../src/lib/realtime/pending';
import {
  closeAll,
  copy,
  has,
  joined,
  note,
  PATIENCE,
  saved,
  tabOf,
  textOf,
  type,
  writer,
} from './documents';
import { startServer, until, type RunningServer } from './server';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 }); // servers start and end in each

const servers: RunningServer[] = [];

async function own(): Promise<RunningServer> {
  const server = await startServer();
  servers.push(server);
  return server;
}

afterEach(async () => {
  await closeAll();
  for (const server of servers.splice(0)) await server.remove();
});

const kept = () => keys(createStore('heliograph', 'pending'));

test('what is typed while the server is dead arrives when it is back', async () => {
  const server = await own();
  const [ann, ben] = [await writer(server.url), await writer(server.url)];
  const { id } = await note(ann, [[ben, 'write']]);
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  type(hers, 'acknowledged');
  await saved(hers);
  type(hers, 'on its way');
  await server.stop('SIGKILL');
  await until(() => hers.provider.status === 'offline', 'offline', PATIENCE);
  type(hers, 'typed by Ann');
  type(his, 'typed by Ben');
  expect(hers.provider.people).toEqual([]);
  await server.start();
  await Promise.all([saved(hers), saved(his)]);
  await Promise.all([has(hers, 'typed by Ben'), has(his, 'typed by Ann')]);
  for (const text of ['acknowledged', 'on its way', 'typed by Ann', 'typed by Ben']) {
    expect(textOf(his)).toContain(text);
  }
  await until(() => hers.provider.people.length === 1, 'Ben is shown again', PATIENCE);
  expect((await ann.api.note(id)).data.content.md).toContain('typed by Ben');
});

test('what is typed offline outlives the tab and arrives with the next one', async () => {
  const server = await own();
  const [ann, ben] = [await writer(server.url), await writer(server.url)];
  const { id } = await note(ann, [[ben, 'write']], 'Beginning');
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  await server.stop('SIGKILL');
  await until(() => hers.provider.status === 'offline', 'offline', PATIENCE);
  for (let i = 0; i < 450; i += 1) type(hers, `offline ${i}.`);
  await hers.provider.close(); // the tab is gone; what it made is on the disk, in few records
  ann.connection.close();
  expect((await kept()).length).toBeGreaterThan(0);
  expect((await kept()).length).toBeLessThanOrEqual(200);
  await server.start();
  const next = await tabOf(ann.user, server.url);
  const again = copy(next, `note:${id}`);
  await saved(again);
  await has(his, 'offline 449.');
  expect(textOf(his).match(/offline \d+\./g)).toHaveLength(450);
  expect(textOf(again)).toBe(textOf(his));
  await until(async () => (await kept()).length === 0, 'nothing kept any more', PATIENCE);
});

test('the next tab may open before the server is back', async () => {
  const server = await own();
  const ann = await writer(server.url);
  const { id } = await note(ann);
  const hers = await joined(ann, `note:${id}`);
  await server.stop('SIGKILL');
  await until(() => hers.provider.status === 'offline', 'offline', PATIENCE);
  type(hers, 'typed offline');
  await hers.provider.close();
  const again = copy(ann, `note:${id}`);
  await until(() => again.provider.unacknowledged === 1, 'adopted', PATIENCE);
  expect(again.provider.ready).toBe(false);
  expect(again.provider.status).toBe('offline');
  await server.start();
  await saved(again);
  expect((await ann.api.note(id)).data.content.md).toBe('typed offline');
});

test('an acknowledgement in one tab takes nothing from another', async () => {
  const server = await own();
  const ann = await writer(server.url);
  const second = await tabOf(ann.user, server.url);
  const { id } = await note(ann);
  const [one, two] = [await joined(ann, `note:${id}`), await joined(second, `note:${id}`)];
  second.connection.close(); // this tab is offline and stays so
  type(two, 'only in the second tab');
  await until(async () => (await kept()).length === 1, 'kept', PATIENCE);
  const [theirs] = await kept();
  type(one, 'from the first tab');
  await saved(one);
  await two.provider.close();
  // What the first tab made may have been written before it was acknowledged.
  await until(async () => (await kept()).length === 1, 'only that is kept', PATIENCE);
  expect((await kept())[0]).toEqual(theirs);
  const third = await joined(await tabOf(ann.user, server.url), `note:${id}`);
  await saved(third);
  expect((await ann.api.note(id)).data.content.md).toContain('only in the second tab');
  await has(one, 'only in the second tab');
});

test('what is acknowledged at once is never written', async () => {
  const pending = new PendingUpdates('somebody', 'free');
  const key = pending.put(new Uint8Array([0, 0]), 1);
  pending.remove([key]);
  await pending.flush();
  expect(await pending.load()).toEqual([]);
  pending.put(new Uint8Array([0, 0]), 3);
  await pending.flush();
  expect(await pending.load()).toMatchObject([{ update: new Uint8Array([0, 0]), count: 3 }]);
  expect(await new PendingUpdates('somebody', 'free2').load()).toEqual([]);
  expect(await new PendingUpdates('somebody else', 'free').load()).toEqual([]);
});
