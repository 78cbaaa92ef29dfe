/**
 * The messages of a channel and of its threads, and what each event does to them.
 *
 * Holds no connection: whoever reads the feeds says so. Events carry whole messages; applied in
 * their order, also more than once, they leave what the server has.
 */

import type { ChannelEvent, ChannelMessage, Person } from './contract';
import { MessageFeed, type FeedEntry, type ReadPage } from './feed';

/** A message with its replies. */
export interface Thread {
  readonly rootId: string;
  /** The replies, and at its beginning the message they hang on. */
  readonly feed: MessageFeed;
}

export class Conversation {
  readonly feed: MessageFeed;
  /** The open one. */
  thread: Thread | null = null;

  readonly #readThread: (rootId: string) => ReadPage;
  readonly #left = new Map<string, Thread>(); // threads that were left with unsent replies

  constructor(readPage: ReadPage, readThread: (rootId: string) => ReadPage) {
    this.feed = new MessageFeed(readPage);
    this.#readThread = readThread;
  }

  /** Make a thread the open one; what was not sent in it before is there again. */
  enter(rootId: string): Thread {
    this.leave();
    const thread = this.#left.get(rootId) ?? {
      rootId,
      feed: new MessageFeed(this.#readThread(rootId)),
    };
    this.#left.delete(rootId);
    this.thread = thread;
    return thread;
  }

  leave(): void {
    const { thread } = this;
    if (thread?.feed.entries.some((entry) => entry.state !== 'sent')) {
      this.#left.set(thread.rootId, thread);
    }
    this.thread = null;
  }

  find(id: string): ChannelMessage | undefined {
    return this.feed.get(id) ?? this.thread?.feed.get(id);
  }

  /** Everything that could not be sent. */
  get failed(): FeedEntry[] {
    const threads = [...this.#left.values(), ...(this.thread ? [this.thread] : [])];
    const feeds = [this.feed, ...threads.map((thread) => thread.feed)];
    return feeds.flatMap((feed) => feed.entries.filter((entry) => entry.state === 'failed'));
  }

  /** Apply an event; whether it is one of messages. */
  apply({ data: event }: ChannelEvent): boolean {
    switch (event.type) {
      case 'message':
        this.#feedOf(event.data)?.add(event.data);
        return true;
      case 'message:reply':
      case 'message:update':
      case 'message:reaction:add':
      case 'message:reaction:remove':
        this.#update(event.data);
        return true;
      case 'message:delete':
        this.drop(event.data.id);
        return true;
      default:
        return false;
    }
  }

  change(id: string, change: (message: ChannelMessage) => ChannelMessage): void {
    const message = this.find(id);
    if (message) this.#update(change(message));
  }

  /** A message is gone, and with it its thread. */
  drop(id: string): void {
    this.feed.remove(id);
    this.thread?.feed.remove(id);
    this.#left.delete(id);
    if (this.thread?.rootId === id) this.thread = null;
  }

  #update(message: ChannelMessage): void {
    this.feed.update(message);
    this.thread?.feed.update(message);
  }

  #feedOf({ parent_id }: ChannelMessage): MessageFeed | undefined {
    if (parent_id === null) return this.feed;
    return (this.thread?.rootId === parent_id ? this.thread : this.#left.get(parent_id))?.feed;
  }
}

/** The message with a user's reaction, or without it. */
export function reacted(
  message: ChannelMessage,
  name: string,
  user: Person,
  on: boolean,
): ChannelMessage {
  const reactions = message.reactions.map((reaction) => {
    if (reaction.name !== name) return reaction;
    const users = reaction.users.filter((each) => each.id !== user.id);
    if (on) users.push(user);
    return { name, users, user_ids: users.map((each) => each.id), count: users.length };
  });
  if (on && !reactions.some((reaction) => reaction.name === name)) {
    reactions.push({ name, users: [user], user_ids: [user.id], count: 1 });
  }
  return { ...message, reactions: reactions.filter((reaction) => reaction.count > 0) };
}
