import { afterAll, expect, inject, test } from 'vitest';
import { Api, ApiError, ChatDirectory, ChatRoom, Connection } from '$lib/realtime';
import { signUp, until } from './server';

const url = inject('url');
const { socket: config } = await new Api(url, null).config();
const connections: Connection[] = [];

afterAll(() => connections.forEach((connection) => connection.close()));

async function scene() {
  const { token } = await signUp(url);
  const api = new Api(url, token);
  const connection = new Connection(url, token, config);
  connections.push(connection);
  await until(() => connection.connected, 'connected');
  const directory = new ChatDirectory(connection, api);
  await directory.refresh();
  return { api, connection, directory };
}

async function chatIn({ api, connection }: Awaited<ReturnType<typeof scene>>): Promise<ChatRoom> {
  const { id } = await api.createChat();
  const room = new ChatRoom(connection, api, id);
  await room.open();
  return room;
}

test('a new chat appears with its title, and is unread until it is looked at', async () => {
  const here = await scene();
  const room = await chatIn(here);
  await room.ask('hello there', { model: 'echo' });
  const entry = await until(() =>
    here.directory.entries.find((each) => each.title === 'hello there' && !each.active),
  );
  here.directory.look(entry.id);
  expect(here.directory.isUnread(here.directory.entries[0] ?? entry)).toBe(false);
});

test('what happens while the list is being read is not lost', async () => {
  const here = await scene();
  const room = await chatIn(here);
  await room.ask('word '.repeat(400), { model: 'echo' });
  await until(() => here.directory.entries[0]?.active, 'it is in the list');
  // The list is read while the answer runs, and its answer comes when it has ended.
  const read = here.api.chats;
  let release = (): void => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  let held = false;
  here.api.chats = async (...args) => {
    const page = await read(...args);
    if (!held) {
      held = true;
      expect(page[0]?.active).toBe(true);
      await gate;
    }
    return page;
  };
  const refreshed = here.directory.refresh();
  await until(() => held, 'the list was read');
  await until(() => !room.answering, 'the answer ended');
  await until(async () => !(await read(''))[0]?.active, 'the server says so');
  // The event that says it comes last.
  await here.connection.request('heartbeat', {});
  release();
  await refreshed;
  await until(() => here.directory.entries[0]?.active === false, 'not being answered', 2_000);
});

test('a reading of its own that fails is tried again, and nothing is left unhandled', async () => {
  const here = await scene();
  const room = await chatIn(here);
  const read = here.api.chats;
  let failures = 0;
  here.api.chats = (...args) => {
    if (failures > 0) return read(...args);
    failures += 1;
    return Promise.reject(new ApiError('unreachable', 'The server cannot be reached.', 0));
  };
  await room.ask('hello there', { model: 'echo' });
  await until(() => here.directory.entries.some((each) => each.id === room.id), 'in the list');
  expect(failures).toBe(1);
});

test('renamed and deleted elsewhere is so here', async () => {
  const here = await scene();
  const room = await chatIn(here);
  await here.directory.refresh();
  await here.api.updateChat(room.id, { title: 'Another name' });
  await until(() => here.directory.entries[0]?.title === 'Another name', 'renamed');
  await here.api.deleteChat(room.id);
  await until(() => here.directory.entries.length === 0, 'deleted');
});

test('a search keeps the chats that contain a text, and gives way to the next one', async () => {
  const here = await scene();
  for (const text of ['apples and pears', 'the weather']) {
    const room = await chatIn(here);
    await room.ask(text, { model: 'echo' });
    await until(() => !room.answering, 'answered');
  }
  const first = here.directory.search('pears');
  await here.directory.search('weather');
  await first;
  expect(here.directory.entries.map((entry) => entry.title)).toEqual(['the weather']);
  await here.directory.search('');
  expect(here.directory.entries).toHaveLength(2);
});
