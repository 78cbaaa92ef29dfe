// What a check acts with: people, their clients and HTTP, and things to act on.

import { randomUUID } from 'node:crypto';

import { Client } from './client.js';

/** HTTP as one person: `await http.post(path, body)` gives the JSON, or throws. */
export class Http {
  constructor(url, token) {
    this.url = url;
    this.token = token;
  }

  /** `{ status, body }`, whatever the status. */
  async ask(method, path, body) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { Authorization: `Bearer ${this.token}`, 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() };
  }

  async require(method, path, body) {
    const answer = await this.ask(method, path, body);
    if (answer.status !== 200) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }

  get(path) {
    return this.require('GET', path);
  }

  post(path, body = {}) {
    return this.require('POST', path, body);
  }

  delete(path) {
    return this.require('DELETE', path);
  }
}

export class Scene {
  constructor(config, control) {
    this.config = config;
    this.transport = config.transport;
    this.control = control;
    this.clients = [];
  }

  /** Somebody new: `{ id, name, token, http }`. */
  async person(server = 'main') {
    const account = await this.control('person', { server });
    return { ...account, http: new Http(this.config.servers[server], account.token) };
  }

  /** The administrator. */
  get root() {
    return { ...this.config.root, http: new Http(this.config.servers.main, this.config.root.token) };
  }

  /** A client that has not connected yet. */
  client(options, server = 'main') {
    const client = new Client(this.config.servers[server], this.transport, options);
    this.clients.push(client);
    return client;
  }

  /** A connected client of a person. */
  async connect(person, { auth = {}, server = 'main', ...options } = {}) {
    const client = this.client({ auth: { token: person.token, ...auth }, ...options }, server);
    return client.connected();
  }

  /** All that the server has sent to the client's user before has reached the client. */
  async settled(client, person, server = 'main') {
    const mark = randomUUID();
    await this.control('publish', { server, room: `user:${person.id}`, event: 'mark', data: { mark } });
    await client.expect('mark', (data) => data.mark === mark);
  }

  /** A chat with a question and an answer: `{ id, message, path }`. */
  async chat(person) {
    const [question, message] = [randomUUID(), randomUUID()];
    const messages = {
      [question]: { id: question, role: 'user', content: 'Well?' },
      [message]: { id: message, role: 'assistant', parentId: question, content: 'So', done: true },
    };
    const chat = { title: 'A chat', history: { messages, currentId: message } };
    const { id } = await person.http.post('/api/v1/chats/new', { chat });
    const path = `/api/v1/chats/${id}`;
    return {
      id,
      message,
      path,
      emit: (type, data) => person.http.post(`${path}/messages/${message}/event`, { type, data }),
      stored: async () => (await person.http.get(path)).chat.history.messages[message],
    };
  }

  /** Ask the echo model in a chat: `{ message, task_ids }`. */
  async ask(person, client, chatId, content, extra = {}) {
    const message = randomUUID();
    const messages = [{ role: 'user', content }];
    const answer = await person.http.post('/api/chat/completions', {
      model: 'echo', stream: true, session_id: client.id, chat_id: chatId, id: message, messages, ...extra,
    });
    return { message, ...answer };
  }

  /** A private channel of its first member: `{ id, path, post }`. */
  async channel(owner, ...others) {
    const { id } = await owner.http.post('/api/v1/channels/create', { name: 'a-channel', private: true });
    const path = `/api/v1/channels/${id}`;
    if (others.length > 0) {
      await owner.http.post(`${path}/update/members/add`, { user_ids: others.map((each) => each.id) });
    }
    return { id, path };
  }

  /** A note with Markdown, shared as told: `{ id, document, path }`. */
  async note(owner, md = '', grants = {}) {
    const access_grants = Object.entries(grants).map(([principal_id, permission]) => ({
      principal_type: 'user', principal_id, permission,
    }));
    const body = { title: 'A note', data: { content: { md } }, access_grants };
    const { id } = await owner.http.post('/api/v1/notes/create', body);
    return { id, document: `note:${id}`, path: `/api/v1/notes/${id}` };
  }

  close() {
    for (const client of this.clients) client.close();
  }
}

/** Try again until the condition gives something true. */
export async function eventually(condition, what, timeout = 15_000) {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${timeout} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
