/** What tests of calls have in common: a person with a chat, over a line that can be cut. */

import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import {
  Api,
  CallDesk,
  ChatRoom,
  Connection,
  type ChatEvent,
  type Message,
} from '../src/lib/realtime';
import { signUp, until } from './server';

const closing: (() => unknown)[] = [];

/** For `afterEach`: close what the test's scenes have opened. */
export async function closeScenes(): Promise<void> {
  for (const close of closing.splice(0).reverse()) await close();
}

export interface Line {
  url: string;
  /** Break every connection, as a network does. */
  cut(): void;
}

/** A way to a server that can be cut; it is there again at once. */
export async function lineTo(url: string): Promise<Line> {
  const { hostname, port } = new URL(url);
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    open.add(near).add(far);
    near.pipe(far).pipe(near);
    for (const end of [near, far]) {
      end.on('error', () => undefined);
      end.on('close', () => {
        near.destroy();
        far.destroy();
        open.delete(end);
      });
    }
  });
  const cut = () => open.forEach((socket) => socket.destroy());
  closing.push(() => {
    cut();
    server.close();
  });
  return { url: await listening(server), cut };
}

/** An HTTP server of the person's own. */
export async function ownServer(listener: RequestListener): Promise<string> {
  const server = createHttpServer(listener);
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return listening(server);
}

async function listening(server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export interface Scene {
  api: Api;
  connection: Connection;
  desk: CallDesk;
  room: ChatRoom;
  /** The calls that came, also those that came again. */
  came: ChatEvent[];
  /** Wait for the last message to have ended. */
  answered(state?: Message['state']): Promise<Message>;
}

/** A person with an empty chat. */
export async function scene(url: string): Promise<Scene> {
  const { token } = await signUp(url);
  const api = new Api(url, token);
  const connection = new Connection(url, token, (await api.config()).socket);
  await until(() => connection.connected, 'connected');
  const came: ChatEvent[] = [];
  connection.on('events', (event, acknowledge) => {
    if (typeof acknowledge === 'function') came.push(event);
  });
  const desk = new CallDesk(connection);
  const room = new ChatRoom(connection, api, (await api.createChat()).id);
  await room.open();
  closing.push(() => {
    room.close();
    desk.close();
    connection.close();
  });
  const answered = (state: Message['state'] = 'finished') =>
    until(() => {
      const message = room.branch().at(-1);
      return message?.role === 'assistant' && message.state === state ? message : null;
    }, `an answer that is ${state}`);
  return { api, connection, desk, room, came, answered };
}

/** Cut the line and wait until the same session is there again. */
export async function breakAndReturn(line: Line, { connection }: Scene): Promise<void> {
  const recovered: boolean[] = [];
  const off = connection.onconnect((each) => recovered.push(each));
  line.cut();
  await until(() => recovered.length > 0, 'connected again');
  off();
  if (!recovered[0]) throw new Error('the session was not recovered');
}
