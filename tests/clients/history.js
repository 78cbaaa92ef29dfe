// Stock clients that live through failures, and a check of what they saw.
//
//   node history.js '{"urls":["http://…"],"people":[{"id","token","chat"}],"channel":"…","words":120}'
//
// Each person has a socket (one more in `watchers` people each), asks the model again and again,
// and posts to a channel now and then. Commands on standard input: `stop` ends the asking, waits
// for what is in flight, compares with what the server has, prints the report as JSON and ends.
//
// Checked, from each client's view:
// * deltas of an answer come with seq 1, 2, 3 …: no gap, no double, no disorder;
// * the sequence in the recovery offset of each room never goes back;
// * a client whose connection was not recovered reads the chat and joins it, as the page does,
//   and goes on from there; whose connection was recovered lacks nothing;
// * in the end the text it put together is the text that the server has;
// * every channel message whose post was acknowledged, or that anybody saw, was seen by everybody
//   (or read by those who had to read again), in one order.

import { io } from 'socket.io-client';
import { createInterface } from 'node:readline';
import { SOCKET_PATH } from './lib/client.js';

const scene = JSON.parse(process.argv[2]);
const words = Array.from({ length: scene.words }, (_, n) => `w${n}`).join(' ');
const now = () => performance.now();
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

const report = {
  events: 0, deltas: 0, answers: 0, interrupted: 0, posts: 0, postsRefused: 0, asksRefused: 0,
  disconnects: 0, recovered: 0, resynced: 0, longestPauseMs: 0, longestOutageMs: 0,
  gaps: [], doubles: [], disorder: [], offsetsBack: [], wrongTexts: [], channelLost: [],
  channelDoubles: [], channelDisorder: [], refusals: {},
}; // prettier-ignore
let stopping = false;

class Person {
  constructor(person, number) {
    Object.assign(this, person);
    this.number = number;
    this.url = scene.urls[number % scene.urls.length];
    this.answers = new Map(); // message id -> {seq, text, done}
    this.seen = []; // ids of channel messages, in the order seen
    this.known = new Set(); // those that were read
    this.offsets = new Map(); // room number -> seq
    this.lastEventAt = null;
    this.syncing = null;
    this.socket = io(this.url, {
      path: SOCKET_PATH,
      transports: scene.transports ?? ['websocket'],
      auth: { token: this.token },
      forceNew: true,
      reconnectionDelay: 300,
      reconnectionDelayMax: 1000,
      timeout: 5000,
    });
    this.socket.on('connect', () => this.connected());
    this.socket.on('disconnect', () => {
      report.disconnects += 1;
      this.lostAt = now();
    });
    this.socket.on('events', (event, offset) => this.hold(() => this.event(event, offset)));
    this.socket.on('events:channel', (event, offset) => this.hold(() => this.channel(event, offset)));
  }

  hold(take) {
    report.events += 1;
    if (this.syncing) this.syncing.push(take);
    else take();
  }

  async http(method, path, body) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { Authorization: `Bearer ${this.token}`, 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(20_000),
    });
    const json = await answer.json();
    if (answer.ok) return json;
    const failure = new Error(`${answer.status} ${json.code ?? JSON.stringify(json).slice(0, 80)}`);
    failure.status = answer.status;
    throw failure;
  }

  refused(error) {
    report.refusals[error.message] = (report.refusals[error.message] ?? 0) + 1;
  }

  async connected() {
    if (this.lostAt) {
      report.longestOutageMs = Math.max(report.longestOutageMs, now() - this.lostAt);
      this.lostAt = null;
    }
    if (this.socket.recovered) {
      report.recovered += 1;
      this.opened?.();
      return;
    }
    this.syncing = this.syncing ?? [];
    this.offsets.clear();
    for (;;) {
      const sid = this.socket.id;
      try {
        await this.read();
        break;
      } catch (error) {
        this.refused(error);
        if (this.socket.id !== sid || !this.socket.connected) return; // read when it is back
        await sleep(300);
      }
    }
    if (this.opened) report.resynced += 1;
    const held = this.syncing;
    this.syncing = null;
    for (const take of held) take();
    this.ready?.();
  }

  /** Read what there is, as the page does: rooms first, then REST, then answers in flight. */
  async read() {
    const call = (name, payload) => this.socket.timeout(15_000).emitWithAck(name, payload);
    const joined = await call('user-join', { auth: { token: this.token } });
    if (joined.error) throw new Error(`user-join ${joined.error.code}`);
    const open = await call('join-chat', { chat_id: this.chat });
    if (open.error) throw new Error(`join-chat ${open.error.code}`);
    const chat = await this.http('GET', `/api/v1/chats/${this.chat}`);
    for (const [id, message] of Object.entries(chat.chat.history.messages)) {
      if (message.role !== 'assistant') continue;
      const known = this.answers.get(id);
      if (known?.done || message.done !== false) {
        this.answers.set(id, { seq: Infinity, read: Infinity, text: message.content, done: true });
      }
    }
    for (const stream of open.streams) {
      const { message_id: id, seq, content } = stream;
      this.answers.set(id, { seq, read: seq, text: content, done: false });
    }
    this.seen = await this.channelIds();
    this.known = new Set(this.seen);
  }

  async channelIds() {
    const ids = [];
    for (let skip = 0; ; skip += 100) {
      const path = `/api/v1/channels/${scene.channel}/messages?skip=${skip}&limit=100`;
      const page = await this.http('GET', path);
      const list = page.messages ?? page;
      ids.push(...list.map((message) => message.id));
      if (list.length < 100) return ids.reverse(); // newest first
    }
  }

  noteOffset(offset) {
    if (typeof offset !== 'string') return;
    for (const part of offset.split('~').slice(1)) {
      const [room, seq] = part.split('.').map((digits) => parseInt(digits, 36));
      if (seq < (this.offsets.get(room) ?? -1)) {
        report.offsetsBack.push({ person: this.number, room, seq, was: this.offsets.get(room) });
      }
      this.offsets.set(room, seq);
    }
  }

  event(event, offset) {
    this.noteOffset(offset);
    const at = now();
    if (this.lastEventAt !== null && !stopping) {
      report.longestPauseMs = Math.max(report.longestPauseMs, at - this.lastEventAt);
    }
    this.lastEventAt = at;
    const { type, data } = event.data;
    if (event.chat_id !== this.chat) return;
    const id = event.message_id;
    const answer = this.answers.get(id) ?? { seq: 0, read: 0, text: '', done: false };
    this.answers.set(id, answer);
    if (type === 'message') {
      report.deltas += 1;
      if (event.seq === answer.seq + 1) {
        answer.seq = event.seq;
        answer.text += data.content;
      } else if (event.seq > answer.seq) {
        report.gaps.push({ person: this.number, id, had: answer.seq, got: event.seq });
        answer.seq = event.seq;
      } else if (event.seq > answer.read) {
        // What is not above `read` was read, and then came, too: both are right.
        report.doubles.push({ person: this.number, id, had: answer.seq, got: event.seq });
      }
    } else if (type === 'chat:completion' && data.done) {
      answer.done = true;
      answer.state = data.state;
      if (data.state === 'interrupted') report.interrupted += 1;
      this.wake?.();
    } else if (type === 'chat:message:error' || type === 'chat:tasks:cancel') {
      answer.done = true;
      answer.state = type;
      this.wake?.();
    }
  }

  channel(event, offset) {
    this.noteOffset(offset);
    if (event.data.type !== 'message') return;
    const id = event.message_id ?? event.data.data.id;
    if (this.seen.includes(id)) {
      if (!this.known.has(id)) report.channelDoubles.push({ person: this.number, id });
    } else this.seen.push(id);
  }

  async live() {
    this.opened = null;
    await new Promise((resolve) => (this.ready = resolve));
    this.opened = () => {};
    while (!stopping) {
      const id = crypto.randomUUID();
      try {
        await this.http('POST', '/api/chat/completions', {
          model: 'echo', chat_id: this.chat, id, session_id: this.socket.id, stream: true,
          messages: [{ role: 'user', content: words }],
        }); // prettier-ignore
      } catch (error) {
        report.asksRefused += 1;
        this.refused(error);
        await sleep(200);
        continue;
      }
      // Until it ends; one whose end was missed (read again meanwhile) is over, too.
      const began = now();
      while (!this.answers.get(id)?.done && now() - began < 90_000) {
        await Promise.race([new Promise((wake) => (this.wake = wake)), sleep(250)]);
      }
      report.answers += 1;
      if (!this.answers.get(id)?.done) report.wrongTexts.push({ person: this.number, id, never: 'ended' });
      if (this.number % 5 === 0 && !stopping) await this.post();
    }
  }

  async post() {
    try {
      const path = `/api/v1/channels/${scene.channel}/messages/post`;
      const posted = await this.http('POST', path, { content: `from ${this.number}` });
      acknowledged.add(posted.id);
      report.posts += 1;
    } catch (error) {
      report.postsRefused += 1;
      this.refused(error);
    }
  }

  async compare() {
    const chat = await this.http('GET', `/api/v1/chats/${this.chat}`);
    for (const [id, message] of Object.entries(chat.chat.history.messages)) {
      if (message.role !== 'assistant') continue;
      const answer = this.answers.get(id);
      const ours = answer?.text ?? '';
      if (ours === message.content) continue;
      report.wrongTexts.push({
        person: this.number, id, state: answer?.state, done: message.done, ours: ours.length,
        theirs: message.content.length, prefix: message.content.startsWith(ours),
        lost: ours.startsWith(message.content),
      }); // prettier-ignore
    }
    const stored = await this.channelIds();
    const known = new Set(stored);
    for (const id of stored) {
      if (!this.seen.includes(id)) report.channelLost.push({ person: this.number, id });
    }
    const order = this.seen.filter((id) => known.has(id));
    const sorted = stored.filter((id) => this.seen.includes(id));
    if (order.join() !== sorted.join()) report.channelDisorder.push({ person: this.number });
    for (const id of acknowledged) {
      if (!known.has(id)) report.channelLost.push({ person: this.number, id, stored: false });
    }
  }
}

const acknowledged = new Set();
const people = scene.people.map((person, number) => new Person(person, number));
const lives = people.map((person) => person.live());
const began = now();
setInterval(() => {
  const seconds = (now() - began) / 1000;
  process.stderr.write(
    `${seconds.toFixed(0).padStart(4)} s  ${report.events} events, ${report.answers} answers, ` +
      `${people.filter((person) => person.socket.connected).length} connected\n`,
  );
}, 5000).unref();

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === 'reset') report.longestPauseMs = 0;
  if (line.trim() === 'stop') break;
}
stopping = true;
report.seconds = (now() - began) / 1000;
await Promise.all(lives);
// A connection that is just coming back must be whole before it is compared.
while (people.some((person) => !person.socket.connected || person.syncing)) await sleep(100);
await sleep(1000);
for (const person of people) await person.compare();
report.eventsPerSecond = report.events / report.seconds;
console.log(JSON.stringify(report));
process.exit(0);
