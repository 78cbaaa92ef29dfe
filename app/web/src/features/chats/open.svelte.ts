/** The chat that is being looked at, as reactive state over the client's room. */

import { SvelteMap } from 'svelte/reactivity';
import { ChatRoom, type AskOptions, type Message } from '$lib/realtime';
import type { Session } from '$state/session.svelte';

export class OpenChat {
  readonly room: ChatRoom;
  title = $state('');
  tags: string[] = $state.raw([]);
  /** `loading`: what it holds is not known yet. */
  phase: 'loading' | 'ready' | 'gone' | 'failed' = $state('loading');
  failure = $state('');
  /** Ids from the first message to the current one. */
  branch: string[] = $state.raw([]);
  answering = $state(false);
  mine = $state(true);
  shared = $state(false);
  /** Each message as it is now; a changed one is another object. */
  readonly messages = new SvelteMap<string, Message>();

  constructor(session: Session, id: string) {
    this.room = new ChatRoom(session.connection, session.api, id);
    this.room.onchange((change) => {
      if (change.kind === 'gone') this.phase = 'gone';
      else if (change.kind === 'message') this.#show(change.id);
      else this.#showAll(session.user.id);
    });
  }

  get id(): string {
    return this.room.id;
  }

  async open(): Promise<void> {
    try {
      await this.room.open(); // what it holds is shown when it says so
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === 'not_found' || code === 'bad_payload') this.phase = 'gone';
      else {
        this.phase = 'failed';
        this.failure = error instanceof Error ? error.message : String(error);
      }
    }
  }

  close(): void {
    this.room.close();
  }

  ask(content: string, options: AskOptions, parentId?: string | null): Promise<void> {
    return this.room.ask(content, options, parentId === undefined ? this.room.currentId : parentId);
  }

  #show(id: string): void {
    const message = this.room.messages.get(id);
    if (message) this.messages.set(id, { ...message });
  }

  #showAll(userId: string): void {
    const { room } = this;
    const branch = room.branch();
    for (const message of branch) this.messages.set(message.id, { ...message });
    this.branch = branch.map((message) => message.id);
    this.title = room.title;
    this.tags = room.tags;
    this.answering = room.answering;
    this.mine = room.ownerId === '' || room.ownerId === userId;
    this.shared = room.grants.length > 0;
    if (room.ownerId !== '' && this.phase !== 'gone') this.phase = 'ready';
  }
}
