import { afterAll, expect, inject, test } from 'vitest';
import { Api, ChatRoom, Connection, type Message, type SignedIn } from '$lib/realtime';
import { signUp, startServer, until } from './server';

const url = inject('url');
const { socket: config } = await new Api(url, null).config();
const connections: Connection[] = [];

afterAll(() => connections.forEach((connection) => connection.close()));

async function connect(base: string, { token }: SignedIn): Promise<Connection> {
  const connection = new Connection(base, token, config);
  connections.push(connection);
  await until(() => connection.connected, 'connected');
  return connection;
}

async function scene(base = url) {
  const person = await signUp(base);
  const api = new Api(base, person.token);
  const connection = await connect(base, person);
  const { id } = await api.createChat();
  const room = new ChatRoom(connection, api, id);
  await room.open();
  return { person, api, connection, room };
}

function last(room: ChatRoom): Message | undefined {
  return room.branch().at(-1);
}

async function answered(room: ChatRoom, state = 'finished'): Promise<Message> {
  return until(() => {
    const message = last(room);
    return message?.role === 'assistant' && message.state === state ? message : null;
  }, `an answer that is ${state}`);
}

test('a question and its answer are there at once, and the answer comes as a stream', async () => {
  const { room } = await scene();
  const seen: string[] = [];
  room.onchange(() => seen.push(last(room)?.content ?? ''));
  await room.ask('one two three', { model: 'echo' });
  expect(room.branch().map((message) => message.role)).toEqual(['user', 'assistant']);
  const answer = await answered(room);
  expect(answer.content).toBe('one two three');
  expect(seen).toContain('');
  expect(seen.every((text) => 'one two three'.startsWith(text))).toBe(true);
  expect(room.title).toBe('one two three');
});

test('a room that is opened at any moment of an answer ends with the same', async () => {
  const { person, api, room } = await scene();
  const words = Array.from({ length: 40 }, (_, number) => `word${number}`).join(' ');
  const others: ChatRoom[] = [];
  const asked = room.ask(words, { model: 'echo' });
  const connection = await connect(url, person);
  for (let number = 0; number < 25; number += 1) {
    const other = new ChatRoom(connection, api, room.id);
    others.push(other);
    void other.open();
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  await asked;
  expect((await answered(room)).content).toBe(words);
  for (const other of others) {
    expect((await answered(other)).content).toBe(words);
    expect(other.branch()).toHaveLength(2);
    other.close();
  }
});

test('a room that is opened before there is a connection is read when there is one', async () => {
  const { person, api, room } = await scene();
  await room.ask('hello there', { model: 'echo' });
  await answered(room);
  const connection = new Connection(url, person.token, config);
  connections.push(connection);
  const early = new ChatRoom(connection, api, room.id);
  expect(connection.connected).toBe(false);
  await early.open();
  expect((await answered(early)).content).toBe('hello there');
});

test('another page of the same person shows what is asked here', async () => {
  const { person, api, room } = await scene();
  const other = new ChatRoom(await connect(url, person), api, room.id);
  await other.open();
  await room.ask('hello there', { model: 'echo' });
  expect((await answered(other)).content).toBe('hello there');
  expect(other.branch().map((message) => message.content)).toEqual(['hello there', 'hello there']);
});

test('statuses of tools come once each, also when they come while the chat is read', async () => {
  const { person, api, room } = await scene();
  await room.ask('/status {"description": "Looking", "done": true}', { model: 'echo' });
  await answered(room);
  const other = new ChatRoom(await connect(url, person), api, room.id);
  await other.open();
  for (const each of [room, other]) {
    const descriptions = last(each)?.statusHistory?.map((status) => status.description);
    expect(descriptions).toEqual(['Running status', 'Looking', 'status done']);
  }
});

test('versions: asking again under the same parent, and going back', async () => {
  const { room, api } = await scene();
  await room.ask('first', { model: 'echo' });
  await answered(room);
  await room.ask('second', { model: 'echo' }, null);
  await answered(room);
  const question = room.branch()[0];
  expect(question?.content).toBe('second');
  const versions = room.versions(question as Message);
  expect(versions.map((version) => version.content)).toEqual(['first', 'second']);
  await room.select(versions[0]?.id ?? '');
  expect(room.branch().map((message) => message.content)).toEqual(['first', 'first']);
  const { currentId } = (await api.chat(room.id)).chat.history;
  expect(currentId).toBe(last(room)?.id);
});

test('a question that could not be sent says so and can be asked again', async () => {
  const { room, connection } = await scene();
  await expect(room.ask('hello', { model: 'no such model' })).rejects.toMatchObject({
    code: 'model_unknown',
  });
  const failed = last(room) as Message;
  expect(failed).toMatchObject({ state: 'error', error: { code: 'model_unknown' } });
  await room.regenerate(failed.id, { model: 'echo' });
  expect((await answered(room)).content).toBe('hello');
  connection.close();
  await expect(room.ask('again', { model: 'echo' })).rejects.toMatchObject({
    code: 'not_connected',
  });
});

test('an answer is stopped with what had come', async () => {
  const server = await startServer({ ECHO_DELAY_MS: '30' });
  try {
    const { room } = await scene(server.url);
    await room.ask('word '.repeat(200), { model: 'echo' });
    await until(() => (last(room)?.content.length ?? 0) > 20);
    await room.stop();
    const answer = await answered(room, 'stopped');
    expect(answer.content.length).toBeGreaterThan(20);
    expect(answer.content.length).toBeLessThan(900);
  } finally {
    await server.remove();
  }
});

test('a server killed in mid-answer and started again: interrupted, and the next one works', async () => {
  const server = await startServer({ ECHO_DELAY_MS: '20', CHAT_SETTLE_SECONDS: '0.1' });
  try {
    const { room } = await scene(server.url);
    await room.ask('word '.repeat(500), { model: 'echo' });
    await until(() => (last(room)?.content.length ?? 0) > 50);
    await server.stop('SIGKILL');
    await server.start();
    const answer = await answered(room, 'interrupted');
    expect(answer.content.startsWith('word word')).toBe(true);
    expect(room.answering).toBe(false);
    await room.ask('still there', { model: 'echo' });
    expect((await answered(room)).content).toBe('still there');
  } finally {
    await server.remove();
  }
});

test('a chat that is deleted elsewhere is gone here', async () => {
  const { room, api } = await scene();
  let gone = false;
  room.onchange((change) => (gone ||= change.kind === 'gone'));
  await api.deleteChat(room.id);
  await until(() => gone, 'told that it is gone');
});
