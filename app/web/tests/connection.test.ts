import { expect, inject, test, vi } from 'vitest';
import { Api, Connection, Refused, type ConnectionState } from '$lib/realtime';
import { signUp, startServer, until } from './server';

const url = inject('url');
const { socket: config } = await new Api(url, null).config();

async function connected(connection: Connection): Promise<void> {
  await until(() => connection.connected, 'connected');
}

test('a connection says that it is connected and answers requests', async () => {
  const ann = await signUp(url, 'Ann');
  const connection = new Connection(url, ann.token, config);
  expect(connection.state.status).toBe('connecting');
  await connected(connection);
  expect(await connection.request('user-join', {})).toEqual({ id: ann.id, name: 'Ann' });
  connection.close();
  expect(connection.state.status).toBe('closed');
});

test('a bad token is refused with its code, and not tried again', async () => {
  const connection = new Connection(url, 'certainly.not.a-token', config);
  const state = await until(() =>
    connection.state.status === 'refused' ? connection.state : null,
  );
  expect(state.code).toBe('token_invalid');
  connection.close();
});

test('a refused request carries code and path, and changes nothing', async () => {
  const { token } = await signUp(url);
  const connection = new Connection(url, token, config);
  await connected(connection);
  const refused = connection.request('join-chat', { chat_id: 'no such chat' });
  await expect(refused).rejects.toMatchObject({ name: 'Refused', code: 'bad_payload' });
  await expect(connection.request('join-chat', { chat_id: 'none' })).rejects.toMatchObject({
    code: 'not_found',
  });
  connection.close();
});

test('without a connection a request fails at once', async () => {
  const { token } = await signUp(url);
  const connection = new Connection(url, token, config);
  await expect(connection.request('heartbeat', {})).rejects.toBeInstanceOf(Refused);
  connection.close();
});

test('a server that goes and comes back is found again, and the wait is told', async () => {
  const server = await startServer();
  try {
    const { token } = await signUp(server.url);
    const connection = new Connection(server.url, token, config);
    const seen: ConnectionState[] = [];
    const returned: boolean[] = [];
    connection.onstate((state) => seen.push(state));
    await connected(connection);
    connection.onconnect((recovered) => returned.push(recovered));
    await server.stop('SIGKILL');
    const waiting = await until(() =>
      seen.find((state) => state.status === 'reconnecting' && state.nextAt !== null),
    );
    expect(waiting).toMatchObject({ attempt: 1 });
    await server.start();
    await connected(connection);
    expect(returned).toEqual([false]); // the sessions were in the memory of the dead server
    connection.close();
  } finally {
    await server.remove();
  }
});

test('retry() does not wait for the next try', async () => {
  const server = await startServer();
  try {
    const { token } = await signUp(server.url);
    const connection = new Connection(server.url, token, config);
    await connected(connection);
    await server.stop();
    await until(() => connection.state.status === 'reconnecting');
    await server.start();
    connection.retry();
    await connected(connection);
    connection.close();
  } finally {
    await server.remove();
  }
});

test('a server that is about to end is asked once for anything, which takes its cookie', async () => {
  const server = await startServer();
  try {
    const { token } = await signUp(server.url);
    for (const [transport, times] of [
      ['websocket', 1],
      ['polling', 0],
    ] as const) {
      const chosen = { ...config, transports: [transport] };
      const connection = new Connection(server.url, token, chosen);
      await connected(connection);
      const asked = vi.spyOn(globalThis, 'fetch');
      const told = new Promise((resolve) => connection.on('server:draining', resolve));
      const ended = server.stop();
      expect(await told).toHaveProperty('reconnect_in_ms');
      const paths = asked.mock.calls.map(([address]) => String(address));
      asked.mockRestore();
      expect(paths).toEqual(Array<string>(times).fill(`${server.url}/api/version`));
      await ended;
      connection.close();
      await server.start();
    }
  } finally {
    await server.remove();
  }
});
