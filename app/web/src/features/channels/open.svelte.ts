/** The channel that is being looked at, as reactive state over the client's room. */

import { ApiError, ChannelRoom, type Channel, type FeedEntry, type Person } from '$lib/realtime';
import type { Session } from '$state/session.svelte';
import { toasts } from '$state/toasts.svelte';
import { channels } from './channels.svelte';

export class OpenChannel {
  readonly room: ChannelRoom;
  readonly me: Person;
  phase: ChannelRoom['phase'] = $state('loading');
  failure: string | null = $state(null);
  channel: Channel | null = $state.raw(null);
  live = $state(true);
  entries: readonly FeedEntry[] = $state.raw([]);
  more = $state(false);
  /** The time up to which everything was read; see ReadMark. */
  line: number | null = $state(null);
  /** Names of those who type in the channel, and in the open thread. */
  typing: string[] = $state.raw([]);
  typingReply: string[] = $state.raw([]);
  /** Id of the message whose thread is open. */
  thread: string | null = $state(null);
  threadEntries: readonly FeedEntry[] = $state.raw([]);
  threadMore = $state(false);
  /** Members; null while that is not known. */
  memberCount: number | null = $state(null);

  readonly #session: Session;

  constructor(session: Session, id: string) {
    this.#session = session;
    this.me = session.user;
    this.room = new ChannelRoom(session.connection, session.api, session.user, id);
    this.room.onchange((change) => {
      if (change === 'typing') this.#showTyping();
      else this.#show();
      if (change === 'channel' && this.phase === 'ready') void this.countMembers();
    });
  }

  get id(): string {
    return this.room.id;
  }

  open(): void {
    this.room.open();
  }

  close(): void {
    // What could not be sent is not lost by leaving.
    for (const { message } of this.room.failed) {
      const place = draftPlace(this.id, message.parent_id);
      const draft = channels.draft(place);
      channels.keepDraft(place, draft ? `${draft}\n${message.content}` : message.content);
    }
    this.room.close();
  }

  /** Do something; when it fails, say so. Whether it was done. */
  async attempt(failure: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      toasts.error(failure, error);
      return false;
    }
  }

  async countMembers(): Promise<void> {
    try {
      this.memberCount = (await this.#session.api.channelMembers(this.id, { limit: 1 })).total;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // it is only a number
    }
  }

  #show(): void {
    const { room } = this;
    this.phase = room.phase;
    this.failure = room.failure;
    this.channel = room.channel;
    this.live = room.live;
    this.entries = room.feed.entries;
    this.more = room.feed.more;
    this.line = room.read.line;
    this.thread = room.thread?.rootId ?? null;
    this.threadEntries = room.thread?.feed.entries ?? [];
    this.threadMore = room.thread?.feed.more ?? false;
    this.#showTyping();
  }

  #showTyping(): void {
    const { typing, thread } = this.room;
    const names = (people: Person[]) => people.map((person) => person.name);
    this.typing = names(typing.in(null));
    this.typingReply = thread ? names(typing.in(thread.rootId)) : [];
  }
}

/** The name under which the text of a composer is kept. */
export function draftPlace(channelId: string, rootId: string | null): string {
  return rootId === null ? channelId : `${channelId}/${rootId}`;
}
