// One stock client that lives through failures as the page does, and sees whether it lost anything.

import { io } from 'socket.io-client';

import { Answers } from './answers.js';
import { SOCKET_PATH, TRANSPORTS } from './client.js';
import { transportsOfBrowser } from './cookies.js';
import { Posts } from './posts.js';
import { now } from './report.js';

export const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

const ANSWER_SECONDS = 90; // longer than any; what has not ended then never does
const HEARTBEAT_MS = 30_000;

export class Person {
  /**
   * @param account {id, token, chat, way}: `way` is a key of TRANSPORTS; or `browser`: upgrade,
   *   with cookies that survive a reconnection; or `page`: that, and what the page of this project
   *   does to leave a replica that drains
   * @param scene what all share, see history.js @param report a Report
   */
  constructor(account, number, scene, report) {
    Object.assign(this, { account, number, scene, report });
    this.url = scene.urls[number % scene.urls.length];
    const wrong = (kind, details) => report.wrong(number, kind, details);
    this.answers = new Answers(wrong);
    this.posts = new Posts(wrong);
    this.offsets = new Map(); // room number -> seq
    this.opened = false; // it has been connected and has read everything
    this.syncing = null; // events held back until what they follow is read
    this.lastEventAt = null;
    this.lostAt = now(); // not connected since
    const way = account.way ?? 'websocket';
    const browser = ['browser', 'page'].includes(way) ? transportsOfBrowser() : null;
    this.socket = io(this.url, {
      path: SOCKET_PATH,
      transports: browser?.transports ?? TRANSPORTS[way],
      withCredentials: true, // outside a browser, cookies are kept only so: polling needs them
      auth: { token: account.token },
      forceNew: true,
      ...scene.connection,
    });
    this.socket.on('connect', () => this.connected());
    this.socket.on('disconnect', (reason) => {
      this.lostAt = now();
      report.lost(number, reason);
    });
    this.socket.on('connect_error', (error) => {
      const why = `${error.message} ${error.description?.message ?? error.description ?? ''}`.trim();
      report.refused(`connect: ${why}`);
      report.fact('refused', { person: number, error: why });
    });
    this.socket.on('events', (event, offset) => this.hold(() => this.event(event, offset)));
    this.socket.on('events:channel', (event, offset) =>
      this.hold(() => {
        this.noteOffset(offset);
        this.posts.take(event);
      }),
    );
    // As app/web/src/lib/realtime/connection.ts does; what polls loses the cookie by itself.
    this.socket.on('server:draining', () => {
      if (way !== 'page' || this.socket.io.engine.transport.name === 'polling') return;
      browser.jar.fetch(`${this.url}/api/version`).catch((error) => report.refused(`leave: ${error}`));
    });
    setInterval(() => this.socket.connected && this.socket.emit('heartbeat', {}), HEARTBEAT_MS).unref();
  }

  get settled() {
    return this.opened && this.socket.connected && !this.syncing;
  }

  hold(take) {
    this.report.counts.events += 1;
    if (this.syncing) this.syncing.push(take);
    else take();
  }

  async http(method, path, body) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { Authorization: `Bearer ${this.account.token}`, 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(20_000),
    });
    const text = await answer.text();
    if (answer.ok) return JSON.parse(text);
    let why = text;
    try {
      why = JSON.parse(text).code ?? text;
    } catch {
      // a proxy's words
    }
    throw new Error(`${method} ${path.split('?')[0].replace(/[0-9a-f-]{36}/g, '…')}: ${answer.status} ${why.slice(0, 80)}`);
  }

  connected() {
    const { recovered } = this.socket;
    if (this.opened) {
      this.report.back(this.number, this.lostAt, recovered);
      if (recovered) this.report.counts.recovered += 1;
    }
    if (!recovered) {
      this.offsets.clear();
      this.syncing = null;
      this.readAgain();
    } else if (this.syncing && !this.reading) this.synchronise();
  }

  readAgain() {
    this.syncing ??= [];
    this.anew = true;
    if (!this.reading) this.synchronise();
  }

  /** Until it is done with one session: read, then take what came meanwhile. */
  async synchronise() {
    this.reading = true;
    while (this.anew) {
      this.anew = false;
      try {
        await this.read();
      } catch (error) {
        this.report.refused(error.message);
        this.anew = true;
        await sleep(300);
        while (!this.socket.connected) await sleep(50);
      }
    }
    this.reading = false;
    const held = this.syncing;
    this.syncing = null;
    for (const take of held) take();
    if (this.opened) this.report.counts.resynced += 1;
    else this.lastEventAt = now();
    this.opened = true;
  }

  /** Read what there is, as the page does: rooms first, then REST, then answers in flight. */
  async read() {
    const { token, chat } = this.account;
    const call = async (name, payload) => {
      const answer = await this.socket.timeout(15_000).emitWithAck(name, payload);
      if (answer.error) throw new Error(`${name} ${answer.error.code}`);
      return answer;
    };
    await call('user-join', { auth: { token } });
    const open = await call('join-chat', { chat_id: chat });
    this.answers.read(await this.http('GET', `/api/v1/chats/${chat}`), open.streams);
    this.posts.read(await this.channelIds());
  }

  async channelIds() {
    const ids = [];
    for (let skip = 0; ; skip += 100) {
      const path = `/api/v1/channels/${this.scene.channel}/messages?skip=${skip}&limit=100`;
      const page = await this.http('GET', path);
      ids.push(...page.map((message) => message.id));
      if (page.length < 100) return ids.reverse(); // newest first
    }
  }

  /** The sequence of each room in the offsets never goes back. */
  noteOffset(offset) {
    if (typeof offset !== 'string') return;
    for (const part of offset.split('~').slice(1)) {
      const [room, seq] = part.split('.').map((digits) => parseInt(digits, 36));
      const was = this.offsets.get(room) ?? -1;
      if (seq < was) this.report.wrong(this.number, 'offsetsBack', { room, seq, was });
      this.offsets.set(room, seq);
    }
  }

  event(event, offset) {
    this.noteOffset(offset);
    if (this.lastEventAt !== null && !this.stopping) {
      this.report.pause(this.number, this.lastEventAt);
    }
    this.lastEventAt = now();
    if (event.chat_id !== this.account.chat) return;
    if (event.data.type === 'message') this.report.counts.deltas += 1;
    const what = this.answers.take(event);
    if (what === 'gap') this.readAgain();
    if (what !== 'ended') return;
    if (event.data.data.state === 'interrupted') this.report.counts.interrupted += 1;
    this.wake?.();
  }

  /** Ask again and again, and post now and then, until `stopping`. */
  async live(acknowledged) {
    while (!this.settled) await sleep(50);
    for (let asked = 0; !this.stopping; asked += 1) {
      const id = crypto.randomUUID();
      // Without a session the answer would be the body of the request.
      while (!this.settled && !this.stopping) await sleep(20);
      if (this.stopping) break;
      try {
        await this.http('POST', '/api/chat/completions', {
          model: 'echo', chat_id: this.account.chat, id, session_id: this.socket.id, stream: true,
          messages: [{ role: 'user', content: this.question(asked) }],
        }); // prettier-ignore
      } catch (error) {
        this.report.counts.asksRefused += 1;
        this.report.refused(error.message);
        await sleep(200);
        continue;
      }
      await this.ended(id);
      if (this.number % this.scene.posters === 0 && !this.stopping) await this.post(acknowledged);
    }
  }

  /** Not all the same length, else all would end, post and ask in one moment for ever. */
  question(asked) {
    const first = asked === 0 ? (0.25 + 0.75 * Math.random()) : 1;
    return Array.from({ length: Math.ceil(this.scene.words * first) }, (_, n) => `w${n}`).join(' ');
  }

  /** Until the answer ends; one whose end was missed (read again meanwhile) is over, too. */
  async ended(id) {
    const began = now();
    while (!this.answers.done(id) && now() - began < ANSWER_SECONDS * 1000) {
      await Promise.race([new Promise((wake) => (this.wake = wake)), sleep(250)]);
    }
    this.report.counts.answers += 1;
    if (!this.answers.done(id)) this.report.wrong(this.number, 'wrongTexts', { id, never: 'ended' });
  }

  async post(acknowledged) {
    try {
      const path = `/api/v1/channels/${this.scene.channel}/messages/post`;
      acknowledged.add((await this.http('POST', path, { content: `from ${this.number}` })).id);
      this.report.counts.posts += 1;
    } catch (error) {
      this.report.counts.postsRefused += 1;
      this.report.refused(error.message);
    }
  }

  async compare(acknowledged) {
    this.answers.compare(await this.http('GET', `/api/v1/chats/${this.account.chat}`));
    this.posts.compare(await this.channelIds(), acknowledged);
  }
}
