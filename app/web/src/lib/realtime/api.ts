/** The HTTP endpoints a page uses, typed. One method each; see docs/http-api.md. */

import type {
  Channel,
  ChannelMember,
  ChannelMessage,
  Chat,
  ChatEntry,
  CompletionRequest,
  Config,
  Grant,
  Message,
  Model,
  Note,
  Person,
  SignedIn,
  User,
} from './contract';
import { Http } from './http';

/** Which entries of a list. */
export interface Page {
  skip?: number;
  limit?: number;
}

/** A part of a chat's copy, as `POST /api/v1/chats/{id}` merges it. */
export interface ChatCopy {
  title?: string;
  tags?: string[];
  history?: {
    messages?: Record<string, Partial<Message>>;
    currentId?: string;
  };
}

export class Api extends Http {
  // -- the server and accounts ---------------------------------------------------------

  config = (): Promise<Config> => this.get('/api/config');
  version = (): Promise<{ version: string; deployment_id: string }> => this.get('/api/version');
  signIn = (email: string, password: string): Promise<SignedIn> =>
    this.post('/api/v1/auths/signin', { email, password });
  signUp = (name: string, email: string, password: string): Promise<SignedIn> =>
    this.post('/api/v1/auths/signup', { name, email, password });
  me = (): Promise<User> => this.get('/api/v1/auths/');
  createApiKey = (): Promise<{ api_key: string }> => this.post('/api/v1/auths/api_key');
  searchPeople = (query: string, page: Page = {}): Promise<{ users: Person[]; total: number }> =>
    this.get('/api/v1/users/search', { query, ...page });

  // -- chats and answers ---------------------------------------------------------------

  models = async (): Promise<Model[]> => (await this.get<{ data: Model[] }>('/api/models')).data;
  chats = (query: string, page: Page = {}): Promise<ChatEntry[]> =>
    this.get('/api/v1/chats/', { query, ...page });
  createChat = (copy: ChatCopy = {}): Promise<Chat> =>
    this.post('/api/v1/chats/new', { chat: copy });
  chat = (id: string): Promise<Chat> => this.get(`/api/v1/chats/${id}`);
  updateChat = (id: string, copy: ChatCopy): Promise<Chat> =>
    this.post(`/api/v1/chats/${id}`, { chat: copy });
  deleteChat = (id: string): Promise<boolean> => this.delete(`/api/v1/chats/${id}`);
  shareChat = (id: string, readers: string[]): Promise<Chat> =>
    this.post(`/api/v1/chats/${id}/access/update`, {
      access_grants: readers.map((principal_id): Grant<'read'> => ({
        principal_type: 'user',
        principal_id,
        permission: 'read',
      })),
    });
  complete = (
    request: CompletionRequest,
  ): Promise<{ task_ids: string[]; message_id: string; user_message_id: string | null }> =>
    this.post('/api/chat/completions', request);
  stopChat = (id: string): Promise<{ status: string; task_ids: string[] }> =>
    this.post(`/api/tasks/chat/${id}/stop`);
  emit = (chat: string, message: string, type: string, data: unknown): Promise<boolean> =>
    this.post(`/api/v1/chats/${chat}/messages/${message}/event`, { type, data });

  // -- channels ------------------------------------------------------------------------

  channels = (page: Page = {}): Promise<Channel[]> => this.get('/api/v1/channels/', { ...page });
  createChannel = (form: {
    name: string;
    private?: boolean;
    description?: string;
  }): Promise<Channel> => this.post('/api/v1/channels/create', form);
  channel = (id: string): Promise<Channel> => this.get(`/api/v1/channels/${id}`);
  updateChannel = (
    id: string,
    form: { name?: string; private?: boolean; description?: string },
  ): Promise<Channel> => this.post(`/api/v1/channels/${id}/update`, form);
  deleteChannel = (id: string): Promise<boolean> => this.delete(`/api/v1/channels/${id}/delete`);
  channelMembers = (
    id: string,
    page: Page = {},
  ): Promise<{ users: ChannelMember[]; total: number }> =>
    this.get(`/api/v1/channels/${id}/members`, { ...page });
  addMembers = (id: string, user_ids: string[]): Promise<unknown> =>
    this.post(`/api/v1/channels/${id}/update/members/add`, { user_ids });
  removeMembers = (id: string, user_ids: string[]): Promise<number> =>
    this.post(`/api/v1/channels/${id}/update/members/remove`, { user_ids });
  channelMessages = (id: string, page: Page = {}): Promise<ChannelMessage[]> =>
    this.get(`/api/v1/channels/${id}/messages`, { ...page });
  channelMessage = (id: string, message: string): Promise<ChannelMessage> =>
    this.get(`/api/v1/channels/${id}/messages/${message}`);
  thread = (id: string, message: string, page: Page = {}): Promise<ChannelMessage[]> =>
    this.get(`/api/v1/channels/${id}/messages/${message}/thread`, { ...page });
  postMessage = (
    id: string,
    form: {
      content: string;
      parent_id?: string;
      temp_id?: string;
      meta?: Record<string, unknown>;
    },
  ): Promise<ChannelMessage> => this.post(`/api/v1/channels/${id}/messages/post`, form);
  editMessage = (id: string, message: string, content: string): Promise<ChannelMessage> =>
    this.post(`/api/v1/channels/${id}/messages/${message}/update`, { content });
  deleteMessage = (id: string, message: string): Promise<boolean> =>
    this.delete(`/api/v1/channels/${id}/messages/${message}/delete`);
  react = (id: string, message: string, name: string): Promise<boolean> =>
    this.post(`/api/v1/channels/${id}/messages/${message}/reactions/add`, { name });
  unreact = (id: string, message: string, name: string): Promise<boolean> =>
    this.post(`/api/v1/channels/${id}/messages/${message}/reactions/remove`, { name });

  // -- notes ---------------------------------------------------------------------------

  notes = (page: Page = {}): Promise<Note[]> => this.get('/api/v1/notes/', { ...page });
  createNote = (title: string, md = ''): Promise<Note> =>
    this.post('/api/v1/notes/create', { title, data: { content: { md } } });
  note = (id: string): Promise<Note> => this.get(`/api/v1/notes/${id}`);
  renameNote = (id: string, title: string): Promise<Note> =>
    this.post(`/api/v1/notes/${id}/update`, { title });
  deleteNote = (id: string): Promise<boolean> => this.delete(`/api/v1/notes/${id}/delete`);
  shareNote = (id: string, access_grants: Grant[]): Promise<Note> =>
    this.post(`/api/v1/notes/${id}/access/update`, { access_grants });
}
