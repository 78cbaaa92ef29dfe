/**
 * The wire contract as types: what is sent and what comes, over the socket and over HTTP.
 * Names and shapes are those of docs/client-guide.md and docs/http-api.md; nothing here runs.
 */

// -- people and configuration ----------------------------------------------------------

export interface User {
  id: string;
  name: string;
  email: string;
  role: string;
}

export interface SignedIn extends User {
  token: string;
}

/** Somebody as others see them. */
export interface Person {
  id: string;
  name: string;
  role?: string;
}

/** `GET /api/config`; times in seconds. */
export interface Config {
  name: string;
  version: string;
  features: { auth: boolean; enable_signup: boolean; enable_websocket: boolean };
  socket: {
    path: string;
    transports: ('websocket' | 'polling')[];
    heartbeat_interval: number;
    ping_interval: number;
    ping_timeout: number;
    recovery_seconds: number;
    call_timeout: number;
    max_message_bytes: number;
  };
}

export interface Grant<P extends string = 'read' | 'write'> {
  principal_type: 'user';
  principal_id: string;
  permission: P;
}

// -- chats -----------------------------------------------------------------------------

export interface Status {
  description: string;
  done?: boolean;
  hidden?: boolean;
  action?: string;
  tool?: string;
  call_id?: string;
  error?: boolean;
}

export interface Source {
  source?: { name?: string; id?: string; url?: string };
  document?: unknown[];
  metadata?: unknown[];
  type?: string;
}

export interface MessageFile {
  type?: string;
  name?: string;
  url?: string;
  [more: string]: unknown;
}

export type MessageState = 'streaming' | 'finished' | 'stopped' | 'interrupted' | 'error';

/** A message of a chat; `seq` counts the deltas of an answer in flight. */
export interface Message {
  id: string;
  parentId: string | null;
  childrenIds: string[];
  role: 'user' | 'assistant' | 'system';
  content: string;
  timestamp: number;
  state: MessageState;
  done: boolean;
  model?: string;
  seq?: number;
  statusHistory?: Status[];
  sources?: Source[];
  files?: MessageFile[];
  embeds?: unknown[];
  followUps?: string[];
  usage?: Record<string, unknown>;
  error?: { content: string; code: string };
}

export interface Chat {
  id: string;
  user_id: string;
  title: string;
  tags: string[];
  chat: { history: { messages: Record<string, Message>; currentId: string | null } };
  access_grants?: Grant<'read'>[];
  created_at: number;
  updated_at: number;
  last_read_at: number;
}

export interface ChatEntry {
  id: string;
  title: string;
  tags: string[];
  created_at: number;
  updated_at: number;
  last_read_at: number;
  active: boolean;
  state: MessageState | null;
}

/** `data` of an `events` event. */
export type ChatData =
  | {
      type: 'message' | 'chat:message:delta' | 'replace' | 'chat:message';
      data: { content: string };
    }
  | { type: 'status'; data: Status }
  | { type: 'files' | 'chat:message:files'; data: { files: MessageFile[] } }
  | { type: 'embeds' | 'chat:message:embeds'; data: { embeds: unknown[]; replace?: boolean } }
  | { type: 'source' | 'citation'; data: Source }
  | {
      type: 'chat:completion';
      data: {
        done?: boolean;
        state?: MessageState;
        content?: string;
        usage?: Record<string, unknown>;
        title?: string;
      };
    }
  | { type: 'chat:title'; data: string }
  | { type: 'chat:tags'; data: string[] }
  | { type: 'chat:tasks:cancel'; data: { state?: 'stopped' } | null }
  | { type: 'chat:active'; data: { active: boolean; message_id?: string } }
  | { type: 'chat:list'; data: { chat_id: string; deleted?: boolean; last_read_at?: number } }
  | { type: 'chat:message:error'; data: { error: { content: string; code: string } } }
  | { type: 'chat:message:follow_ups'; data: { follow_ups: string[] } }
  | { type: 'notification'; data: { type?: string; content: string } }
  | CallData;

/** `data` of an `events` event that waits for an answer. */
export type CallData =
  | { type: 'confirmation'; data: { title?: string; message?: string } }
  | {
      type: 'input';
      data: {
        title?: string;
        message?: string;
        placeholder?: string;
        value?: string;
        type?: string;
      };
    }
  | { type: 'execute:python'; data: { id?: string; code: string; files?: unknown[] } }
  | {
      type: 'execute:tool';
      data: { name: string; params?: Record<string, unknown>; server?: { url: string } };
    }
  | {
      type: 'request:chat:completion';
      data: { form_data: Record<string, unknown>; model: Record<string, unknown>; channel: string };
    };

export interface ChatEvent {
  chat_id: string;
  message_id: string | null;
  data: ChatData;
  seq?: number;
  call_id?: string;
}

/** An answer in flight, from `join-chat`; `content` covers the deltas in (from_seq, seq]. */
export interface StreamState {
  message_id: string;
  seq: number;
  from_seq: number;
  content: string;
}

/** Body of `POST /api/chat/completions` for an answer into a chat. */
export interface CompletionRequest {
  model: string;
  session_id: string;
  chat_id: string;
  id: string;
  parent_id?: string;
  user_message?: { id: string; content: string; parentId: string | null };
  model_item?: { direct: true; [more: string]: unknown };
  tool_servers?: { url: string; name?: string; specs: ToolSpec[] }[];
}

export interface ToolSpec {
  name: string;
  description?: string;
  parameters?: Record<string, unknown>;
}

export interface Model {
  id: string;
  name: string;
}

// -- channels --------------------------------------------------------------------------

/** A channel; times are nanoseconds since 1970. */
export interface Channel {
  id: string;
  user_id: string;
  name: string;
  description: string | null;
  private: boolean;
  created_at: number;
  updated_at: number;
  unread_count: number;
  last_message_at: number | null;
  last_read_at: number | null;
  is_manager: boolean;
}

export interface Reaction {
  name: string;
  users: Person[];
  user_ids: string[];
  count: number;
}

/** A message of a channel; times are nanoseconds since 1970. */
export interface ChannelMessage {
  id: string;
  channel_id: string;
  user_id: string;
  parent_id: string | null;
  content: string;
  data: Record<string, unknown> | null;
  meta: Record<string, unknown> | null;
  created_at: number;
  updated_at: number;
  user: Person;
  reactions: Reaction[];
  reply_count: number;
  latest_reply_at: number | null;
  temp_id?: string;
}

export interface ChannelMember extends Person {
  member_role: string;
  joined_at: number;
}

export type ChannelData =
  | {
      type: 'message' | 'message:reply' | 'message:update' | 'message:delete';
      data: ChannelMessage;
    }
  | {
      type: 'message:reaction:add' | 'message:reaction:remove';
      data: ChannelMessage & { name: string };
    }
  | { type: 'typing'; data: { typing: boolean } }
  | { type: 'channel:created' | 'channel:updated'; data: Channel }
  | { type: 'channel:deleted'; data: { id: string } }
  | { type: 'last_read_at'; data: { last_read_at: number } };

export interface ChannelEvent {
  channel_id: string;
  message_id: string | null;
  data: ChannelData;
  user: Person;
  channel: Partial<Channel> & { id: string };
}

// -- notes and documents ---------------------------------------------------------------

/** A note; times are nanoseconds since 1970. In lists `data.content` is `{md, cut}`. */
export interface Note {
  id: string;
  user_id: string;
  title: string;
  data: { content: { md: string; cut?: boolean; html?: string; json?: unknown } };
  meta: Record<string, unknown> | null;
  access_grants: Grant[];
  created_at: number;
  updated_at: number;
  user: Person;
  write_access: boolean;
}

export interface DocumentState {
  document_id: string;
  state: ArrayBuffer | Uint8Array | number[];
  sessions: string[];
  seq: number;
}

export interface DocumentUpdate {
  document_id: string;
  user_id: string;
  update: ArrayBuffer | Uint8Array | number[];
  seq?: number;
}

// -- events by name --------------------------------------------------------------------

/** Why an event was refused; without an acknowledgement it comes as the event `error`. */
export interface RefusalPayload {
  event: string | null;
  code: string;
  message: string;
  path?: string;
  document_id?: string;
}

/**
 * Events the server sends. The last argument of a replayable event is its recovery offset, a
 * string; of a call it is the acknowledgement.
 */
export interface ServerEvents {
  events: (event: ChatEvent, acknowledge?: string | ((answer: unknown) => void)) => void;
  'events:channel': (event: ChannelEvent) => void;
  'note-events': (note: Partial<Note> & { id: string; deleted?: boolean }) => void;
  'ydoc:document:state': (state: DocumentState) => void;
  'ydoc:document:update': (update: DocumentUpdate) => void;
  'ydoc:awareness:update': (update: DocumentUpdate) => void;
  'ydoc:user:joined': (who: {
    document_id: string;
    user_id: string;
    user_name: string;
    user_color: string;
    session_id: string;
  }) => void;
  'ydoc:user:left': (who: { document_id: string; user_id: string; session_id: string }) => void;
  'server:draining': (notice: { reconnect_in_ms: number }) => void;
  error: (refusal: RefusalPayload) => void;
}

/** Events a client sends: payload and acknowledgement. */
export interface Requests {
  'user-join': [payload: Record<string, never>, answer: { id: string; name: string }];
  'join-channels': [payload: Record<string, never>, answer: { channels: string[] }];
  'join-note': [payload: { note_id: string }, answer: { ok: true }];
  'join-chat': [
    payload: { chat_id: string; message_id?: string; last_seq?: number },
    answer: { chat_id: string; streams: StreamState[] },
  ];
  heartbeat: [payload: Record<string, never>, answer: null];
  usage: [payload: { model: string }, answer: null];
  'events:channel': [
    payload: {
      channel_id: string;
      message_id?: string;
      data: { type: 'typing'; data: { typing: boolean } } | { type: 'last_read_at' };
    },
    answer: null,
  ];
  'events:chat': [
    payload: { chat_id: string; data: { type: 'last_read_at' } },
    answer: { chat_id: string; last_read_at: number },
  ];
  'ydoc:document:join': [
    payload: { document_id: string; user_color?: string; state_vector?: Uint8Array },
    answer: { ok: true; sessions: string[] },
  ];
  'ydoc:document:state': [
    payload: { document_id: string; state_vector?: Uint8Array },
    answer: DocumentState,
  ];
  'ydoc:document:update': [
    payload: { document_id: string; update: Uint8Array },
    answer: { ok: true; seq: number },
  ];
  'ydoc:document:leave': [payload: { document_id: string }, answer: { ok: true }];
  'ydoc:awareness:update': [payload: { document_id: string; update: Uint8Array }, answer: null];
}
