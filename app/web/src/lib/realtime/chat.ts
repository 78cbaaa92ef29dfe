/**
 * One open chat: its messages as a tree, the answers in flight, and what a person does with them.
 *
 * {@link ChatRoom.open} reads the chat and enters its room; from then on events keep it current,
 * in order and without loss: deltas are numbered, a gap or a connection that was not recovered
 * reads the chat again, and what came meanwhile is applied afterwards. Listeners are told which
 * message changed; objects are changed in place.
 */

import type { Api } from './api';
import { applyToMessage, isIncluded } from './answers';
import { Refused, type Connection } from './connection';
import type { Chat, ChatEvent, CompletionRequest, Grant, Message, StreamState } from './contract';
import { ApiError } from './http';
import { newId } from './ids';
import { cleanChat } from './shapes';

export type ChatChange =
  /** Only this message changed. */
  | { kind: 'message'; id: string }
  /** The tree, the title, the grants, or everything. */
  | { kind: 'chat' }
  /** It was deleted, or may not be read any more. */
  | { kind: 'gone' };

/** Which model answers, and what it may use. */
export type AskOptions = Pick<CompletionRequest, 'model' | 'model_item' | 'tool_servers'>;

const USAGE_EVERY_MS = 1_000;
const RETRY_MS = 2_000;

export class ChatRoom {
  readonly id: string;
  title = '';
  tags: string[] = [];
  ownerId = '';
  grants: Grant<'read'>[] = [];
  currentId: string | null = null;
  readonly messages = new Map<string, Message>();

  readonly #connection: Connection;
  readonly #api: Api;
  readonly #listeners = new Set<(change: ChatChange) => void>();
  readonly #off: (() => void)[] = [];
  readonly #unsent = new Set<string>(); // questions the server does not know yet
  #held: ChatEvent[] | null = []; // what comes while the chat is being read
  #loading: Promise<void> | null = null;
  #again = false; // whether it has to be read once more after this time
  #stale = false; // whether it could not be read when that was needed
  readonly #missed = new Set<string>(); // messages of events that reading did not bring
  #closed = false;
  #usage: ReturnType<typeof setInterval> | undefined;

  constructor(connection: Connection, api: Api, id: string) {
    this.#connection = connection;
    this.#api = api;
    this.id = id;
  }

  /**
   * Read the chat and follow it. Opens again by itself whenever that is needed; without a connection
   * it is read when there is one.
   */
  async open(): Promise<void> {
    this.#off.push(
      this.#connection.onchat((event) => {
        if (event.chat_id === this.id) this.#take(event);
      }),
      this.#connection.onconnect((recovered) => {
        if (!recovered || this.#stale) void this.#reload();
      }),
    );
    this.#usage = setInterval(() => this.#reportUsage(), USAGE_EVERY_MS);
    if (this.#connection.connected) await this.#load();
    else this.#stale = true;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#usage);
    for (const off of this.#off) off();
    this.#listeners.clear();
  }

  onchange(listener: (change: ChatChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // -- the tree ------------------------------------------------------------------------

  /** The messages from the first down to the current one. */
  branch(): Message[] {
    const found: Message[] = [];
    const seen = new Set<string>();
    let id = this.currentId;
    while (id !== null && !seen.has(id)) {
      seen.add(id);
      const message = this.messages.get(id);
      if (!message) break;
      found.unshift(message);
      id = message.parentId;
    }
    return found;
  }

  /** The versions of a message: those with the same parent and role, itself included. */
  versions(message: Message): Message[] {
    return [...this.messages.values()].filter(
      (other) => other.parentId === message.parentId && other.role === message.role,
    );
  }

  get answering(): boolean {
    for (const message of this.messages.values()) if (!message.done) return true;
    return false;
  }

  // -- what people do ------------------------------------------------------------------

  /**
   * Ask: a question under `parentId` and its answer. Both are shown at once.
   *
   * @throws {Refused | ApiError} it could not be asked; the answer says so too
   */
  async ask(content: string, options: AskOptions, parentId = this.currentId): Promise<void> {
    const question = newMessage('user', content, parentId);
    this.#unsent.add(question.id);
    this.#put(question);
    await this.#answer(question, options);
  }

  /** Another answer to the question that this one answers. */
  async regenerate(id: string, options: AskOptions): Promise<void> {
    const question = this.messages.get(this.messages.get(id)?.parentId ?? '');
    if (question) await this.#answer(question, options);
  }

  /** Change an answer's text, as its owner sees fit. */
  async rewrite(id: string, content: string): Promise<void> {
    this.#merge(
      await this.#api.updateChat(this.id, {
        history: { messages: { [id]: { content, done: true } } },
      }),
      [],
    );
    this.#tell({ kind: 'message', id });
  }

  /** Show another version of a message, and what followed it last. */
  async select(id: string): Promise<void> {
    let leaf: string | undefined = id;
    while (leaf !== undefined) {
      this.currentId = leaf;
      leaf = [...this.messages.values()].findLast((each) => each.parentId === leaf)?.id;
    }
    this.#tell({ kind: 'chat' });
    await this.#api.updateChat(this.id, { history: { currentId: this.currentId ?? id } });
  }

  /** Stop what is being answered; resolves when the server confirmed it. */
  async stop(): Promise<void> {
    await this.#api.stopChat(this.id);
  }

  async rename(title: string): Promise<void> {
    this.#adopt(await this.#api.updateChat(this.id, { title }));
  }

  /** Let exactly these users read it. */
  async share(readers: string[]): Promise<void> {
    this.#adopt(await this.#api.shareChat(this.id, readers));
  }

  /** Move the read mark to now. */
  markRead(): void {
    this.#connection.send('events:chat', { chat_id: this.id, data: { type: 'last_read_at' } });
  }

  async #answer(question: Message, options: AskOptions): Promise<void> {
    const answer = newMessage('assistant', '', question.id);
    answer.model = options.model;
    this.#put(answer);
    try {
      const { sessionId } = this.#connection;
      if (!this.#connection.connected || sessionId === undefined) {
        throw new Refused({
          code: 'not_connected',
          message: 'There is no connection just now. Try again in a moment.',
        });
      }
      await this.#api.complete({
        ...options,
        ...(this.#unsent.has(question.id) ? { user_message: asSent(question) } : {}),
        session_id: sessionId,
        chat_id: this.id,
        id: answer.id,
        parent_id: question.id,
      });
      this.#unsent.delete(question.id);
    } catch (error) {
      // Of a request that got no answer nobody knows whether it arrived: the server does.
      if (error instanceof ApiError && error.code === 'unreachable') this.#stale = true;
      answer.error = describe(error);
      answer.state = 'error';
      answer.done = true;
      this.#tell({ kind: 'message', id: answer.id });
      throw error;
    }
  }

  #put(message: Message): void {
    this.messages.set(message.id, message);
    this.currentId = message.id;
    this.#tell({ kind: 'chat' });
  }

  // -- events --------------------------------------------------------------------------

  #take(event: ChatEvent): void {
    if (this.#held) {
      this.#held.push(event);
      return;
    }
    const { data } = event;
    if (data.type === 'chat:title') {
      this.title = data.data;
      this.#tell({ kind: 'chat' });
    } else if (data.type === 'chat:tags') {
      this.tags = data.data;
      this.#tell({ kind: 'chat' });
    } else if (data.type === 'chat:list') {
      if (data.data.deleted) this.#tell({ kind: 'gone' });
    } else if (event.message_id !== null) {
      this.#takeMessage(event, event.message_id);
    }
  }

  #takeMessage(event: ChatEvent, id: string): void {
    const message = this.messages.get(id);
    if (!message) {
      // Another page of ours asked. What a second reading does not bring is not there.
      if (this.#missed.has(id)) return;
      this.#missed.add(id);
      void this.#reload(event);
      return;
    }
    if (event.data.type === 'chat:active' && event.data.data.active && this.#follow(id)) {
      this.#tell({ kind: 'chat' });
    }
    const outcome = applyToMessage(message, event.data, event.seq);
    if (outcome === 'gap') {
      void this.#reload(event);
    } else if (outcome !== 'ignored') {
      this.#tell(outcome === 'ended' ? { kind: 'chat' } : { kind: 'message', id });
    }
  }

  /** Show the branch of a new answer, if it goes on from what is shown. */
  #follow(id: string): boolean {
    if (id === this.currentId) return false;
    if (this.currentId !== null && !this.#isBelow(id, this.currentId)) return false;
    this.currentId = id;
    return true;
  }

  // -- reading -------------------------------------------------------------------------

  /** Read again, keeping events until then. What cannot be read now is read a little later. */
  async #reload(event?: ChatEvent): Promise<void> {
    this.#held ??= [];
    if (event) this.#held.push(event);
    try {
      await this.#load();
    } catch (error) {
      if (this.#closed) return;
      if (isGone(error)) this.#tell({ kind: 'gone' });
      // Without a connection the next one reads.
      else if (this.#connection.connected) setTimeout(() => void this.#reload(), RETRY_MS);
    }
  }

  #load(): Promise<void> {
    this.#held ??= [];
    this.#stale = true;
    this.#again = true;
    this.#loading ??= this.#read().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #read(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      // The room first: what is published after it comes as an event, what was before is read.
      const joined = await this.#connection.request('join-chat', { chat_id: this.id });
      const chat = await this.#api.chat(this.id);
      if (this.#closed) return;
      this.#merge(chat, joined.streams);
      this.#stale = false;
      const held = this.#held ?? [];
      this.#held = null;
      for (const event of held) {
        const message = this.messages.get(event.message_id ?? '');
        if (!message || !isIncluded(message, event.data)) this.#take(event);
      }
      this.#tell({ kind: 'chat' });
    }
  }

  #merge(read: Chat, streams: StreamState[]): void {
    const chat = cleanChat(read);
    this.#adopt(chat);
    const { messages, currentId } = chat.chat.history;
    for (const message of Object.values(messages)) {
      this.#unsent.delete(message.id);
      const followUps = this.messages.get(message.id)?.followUps;
      this.messages.set(message.id, followUps ? { ...message, followUps } : message);
    }
    for (const stream of streams) {
      const message = this.messages.get(stream.message_id);
      if (message && stream.from_seq === 0 && stream.seq > (message.seq ?? 0)) {
        message.content = stream.content;
        message.seq = stream.seq;
      }
    }
    if (this.currentId !== null && !this.messages.has(this.currentId)) this.currentId = null;
    if (currentId !== null) this.#follow(currentId);
  }

  #isBelow(id: string, ancestor: string): boolean {
    const seen = new Set<string>();
    let at: string | null = id;
    while (at !== null && !seen.has(at)) {
      if (at === ancestor) return true;
      seen.add(at);
      at = this.messages.get(at)?.parentId ?? null;
    }
    return false;
  }

  #adopt(chat: Chat): void {
    this.title = chat.title;
    this.tags = chat.tags;
    this.ownerId = chat.user_id;
    this.grants = chat.access_grants ?? [];
    this.#tell({ kind: 'chat' });
  }

  #reportUsage(): void {
    const models = new Set<string>();
    for (const message of this.messages.values()) {
      if (!message.done && message.model) models.add(message.model);
    }
    for (const model of models) this.#connection.send('usage', { model });
  }

  #tell(change: ChatChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function newMessage(role: 'user' | 'assistant', content: string, parentId: string | null): Message {
  return {
    id: newId(),
    parentId,
    childrenIds: [],
    role,
    content,
    timestamp: Math.floor(Date.now() / 1000),
    state: role === 'user' ? 'finished' : 'streaming',
    done: role === 'user',
  };
}

function isGone(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === 'not_found' || code === 'forbidden';
}

function asSent({ id, content, parentId }: Message): CompletionRequest['user_message'] & object {
  return { id, content, parentId };
}

function describe(error: unknown): { content: string; code: string } {
  if (error instanceof ApiError || error instanceof Refused) {
    return { content: error.message, code: error.code };
  }
  return { content: String(error), code: 'error' };
}
