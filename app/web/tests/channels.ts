/** People in channels, for the tests of channels. */

import { afterAll, inject } from 'vitest';
import { Api, ChannelRoom, Connection, type ChannelMessage, type SignedIn } from '$lib/realtime';
import { signUp, until } from './server';

export const url = inject('url');
const { socket: config } = await new Api(url, null).config();
const ends: (() => void)[] = [];

afterAll(() => ends.forEach((end) => end()));

/** Close something after the tests. */
export function atEnd<T extends { close(): void }>(thing: T): T {
  ends.push(() => thing.close());
  return thing;
}

/** Somebody with a connection. */
export class Member {
  readonly api: Api;
  readonly connection: Connection;

  constructor(
    readonly person: SignedIn,
    base = url,
  ) {
    this.api = new Api(base, person.token);
    this.connection = atEnd(new Connection(base, person.token, config));
  }

  /** Open a channel and wait until it is there. */
  async open(id: string, visible = false): Promise<ChannelRoom> {
    const room = atEnd(new ChannelRoom(this.connection, this.api, this.person, id));
    room.read.watch(visible);
    room.open();
    await until(() => room.phase === 'ready', 'the channel is there');
    return room;
  }
}

export async function join(name?: string, base = url): Promise<Member> {
  // The first account of a server is its administrator, who sees all channels.
  const member = new Member(await signUp(base, name), base);
  await until(() => member.connection.connected, 'connected');
  return member;
}

/** Two people and a public channel that both look at. */
export async function scene(base = url) {
  const [ann, ben] = await Promise.all([join('Ann', base), join('Ben', base)]);
  const { id } = await ann.api.createChannel({ name: `channel ${Math.random()}` });
  return { id, ann, ben, anns: await ann.open(id), bens: await ben.open(id) };
}

/** What is said, as one sees it. */
export function texts(room: ChannelRoom, feed = room.feed): string[] {
  return feed.entries.map(({ message, state }) =>
    state === 'sent' ? message.content : `${message.content} (${state})`,
  );
}

/** Wait for a message with this text. */
export function said(room: ChannelRoom, content: string): Promise<ChannelMessage> {
  return until(
    () =>
      room.feed.entries.find((each) => each.state === 'sent' && each.message.content === content),
    `“${content}” is there`,
  ).then((entry) => entry.message);
}
