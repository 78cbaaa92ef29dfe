/**
 * What tools and other programs say, brought into the shapes that the contract names.
 *
 * The server lets most data of events through as it is, since clients may understand more than it
 * does. Here it is decided once what this client takes: what does not fit is left out, so that
 * nothing behind this module has to doubt a type.
 */

import type { Chat, ChatData, ChatEvent, Message, MessageFile, Source, Status } from './contract';

type Thing = Record<string, unknown>;

function isThing(value: unknown): value is Thing {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function things<T>(value: unknown): T[] {
  return Array.isArray(value) ? (value.filter(isThing) as T[]) : [];
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

function statusOf(value: Thing): Status {
  return { ...value, description: text(value['description']) };
}

function fileOf({ url, name, ...file }: MessageFile): MessageFile {
  return {
    ...file,
    ...(typeof url === 'string' ? { url } : {}),
    ...(typeof name === 'string' ? { name } : {}),
  };
}

function sourceOf(value: Thing): Source {
  const { source, document } = value;
  const { name, url } = isThing(source) ? source : {};
  return {
    source: {
      ...(typeof name === 'string' ? { name } : {}),
      ...(typeof url === 'string' ? { url } : {}),
    },
    document: Array.isArray(document) ? document : [],
    ...(typeof value['type'] === 'string' ? { type: value['type'] } : {}),
  };
}

function errorOf(value: unknown): { content: string; code: string } {
  if (isThing(value) && typeof value['content'] === 'string') {
    return { content: value['content'], code: text(value['code']) };
  }
  return { content: typeof value === 'string' ? value : 'The answer failed.', code: 'error' };
}

/** A message as it was read, with what tools have added. */
export function cleanMessage(message: Message): Message {
  const { statusHistory, sources, files, embeds, followUps, error, ...rest } = message;
  return {
    ...rest,
    statusHistory: things<Thing>(statusHistory).map(statusOf),
    sources: things<Thing>(sources).map(sourceOf),
    files: things<MessageFile>(files).map(fileOf),
    embeds: Array.isArray(embeds) ? embeds : [],
    ...(followUps ? { followUps: texts(followUps) } : {}),
    ...(error ? { error: errorOf(error) } : {}),
  };
}

/** A chat as it was read. */
export function cleanChat(chat: Chat): Chat {
  const { messages, currentId } = chat.chat.history;
  const cleaned = Object.entries(messages).map(([id, message]) => [id, cleanMessage(message)]);
  return {
    ...chat,
    tags: texts(chat.tags),
    chat: { history: { messages: Object.fromEntries(cleaned), currentId } },
  };
}

/** An event as it came, or null: of a type that is not known here, or of another shape. */
export function cleanChatEvent(event: ChatEvent): ChatEvent | null {
  const data = cleanData(event.data as { type: string; data: unknown });
  return data ? { ...event, data } : null;
}

function cleanData({ type, data }: { type: string; data: unknown }): ChatData | null {
  const thing = isThing(data) ? data : {};
  switch (type) {
    case 'message':
    case 'chat:message:delta':
    case 'replace':
    case 'chat:message':
      return typeof thing['content'] === 'string'
        ? { type, data: { content: thing['content'] } }
        : null;
    case 'status':
      return { type, data: statusOf(thing) };
    case 'files':
    case 'chat:message:files':
      return { type, data: { files: things<MessageFile>(thing['files']).map(fileOf) } };
    case 'embeds':
    case 'chat:message:embeds': {
      const embeds = Array.isArray(thing['embeds']) ? thing['embeds'] : [];
      return { type, data: { embeds, replace: thing['replace'] === true } };
    }
    case 'source':
    case 'citation':
      return { type, data: sourceOf(thing) };
    case 'chat:completion':
      return { type, data: completionOf(thing) };
    case 'chat:title':
      return typeof data === 'string' ? { type, data } : null;
    case 'chat:tags':
      return Array.isArray(data) ? { type, data: texts(data) } : null;
    case 'chat:tasks:cancel':
      return { type, data: null };
    case 'chat:active':
      return { type, data: { ...thing, active: thing['active'] === true } };
    case 'chat:list':
      return typeof thing['chat_id'] === 'string'
        ? { type, data: thing as { chat_id: string; deleted?: boolean; last_read_at?: number } }
        : null;
    case 'chat:message:error':
      return { type, data: { error: errorOf(thing['error']) } };
    case 'chat:message:follow_ups':
      return { type, data: { follow_ups: texts(thing['follow_ups']) } };
    case 'notification':
      return { type, data: { type: text(thing['type']), content: text(thing['content']) } };
    default:
      return null;
  }
}

function completionOf(thing: Thing): Extract<ChatData, { type: 'chat:completion' }>['data'] {
  const { done, state, content, usage } = thing;
  return {
    done: done === true,
    state: state === 'interrupted' || state === 'stopped' ? state : 'finished',
    ...(typeof content === 'string' ? { content } : {}),
    ...(isThing(usage) ? { usage } : {}),
  };
}
