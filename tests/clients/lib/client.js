// A stock socket.io-client that remembers what it got and can be waited on.

import { io } from 'socket.io-client';

export const SOCKET_PATH = '/ws/socket.io';

/** The client option `transports` for each way of connecting that the suites try. */
export const TRANSPORTS = {
  websocket: ['websocket'],
  polling: ['polling'],
  upgrade: ['polling', 'websocket'],
};

export class Client {
  /**
   * @param {string} url of the server
   * @param {string} transport a key of TRANSPORTS
   * @param {object} options of socket.io-client, e.g. `auth`
   */
  constructor(url, transport, options = {}) {
    this.transport = transport;
    this.log = []; // { name, data, args, taken }
    this.answer = null; // (name, data) => value of the acknowledgement; undefined: none
    this.waiters = new Set();
    this.socket = io(url, {
      path: SOCKET_PATH,
      transports: TRANSPORTS[transport],
      forceNew: true,
      withCredentials: true, // outside a browser, cookies are kept only so: polling needs them
      reconnectionDelay: 50,
      reconnectionDelayMax: 200,
      ...options,
    });
    this.socket.onAny((name, ...args) => this.received(name, args));
  }

  get id() {
    return this.socket.id;
  }

  received(name, args) {
    const acknowledge = typeof args.at(-1) === 'function' ? args.pop() : null;
    this.log.push({ name, data: args[0], args, taken: false });
    for (const wake of [...this.waiters]) wake();
    const value = acknowledge && this.answer?.(name, args[0]);
    if (value !== undefined && value !== null) acknowledge(value);
  }

  /** Wait for CONNECT, and for the upgrade where there is to be one; fails with connect_error. */
  async connected({ upgraded = true } = {}) {
    await new Promise((resolve, reject) => {
      this.socket.once('connect', resolve);
      this.socket.once('connect_error', reject);
      if (this.socket.connected) resolve();
    });
    if (upgraded && this.transport === 'upgrade') await this.upgraded();
    return this;
  }

  async upgraded() {
    const engine = this.socket.io.engine;
    await this.until(() => engine.transport.name === 'websocket', 'the upgrade to a websocket');
  }

  /** The connect_error that this client must get. */
  async refused() {
    return new Promise((resolve, reject) => {
      this.socket.once('connect_error', resolve);
      this.socket.once('connect', () => reject(new Error('it was let in')));
    });
  }

  /** Emit and return the acknowledgement. */
  async call(name, payload, timeout = 10_000) {
    return this.socket.timeout(timeout).emitWithAck(name, payload);
  }

  /** Emit without asking for an acknowledgement. */
  emit(name, payload) {
    this.socket.emit(name, payload);
  }

  /** The data of everything received under a name. */
  events(name, where = () => true) {
    return this.log.filter((each) => each.name === name && where(each.data)).map((each) => each.data);
  }

  /** The data of the next event of that name that fits; each is returned once. */
  async expect(name, where = () => true, timeout = 10_000) {
    const find = () => this.log.find((each) => !each.taken && each.name === name && where(each.data));
    await this.until(find, name, timeout);
    const found = find();
    found.taken = true;
    return found.data;
  }

  /** The next `events` of a chat type. */
  expectChat(type, where = () => true) {
    return this.expect('events', (event) => event.data.type === type && where(event));
  }

  /** The next `events:channel` of a channel type. */
  expectChannel(type, where = () => true) {
    return this.expect('events:channel', (event) => event.data.type === type && where(event));
  }

  /** Wait until a condition holds; it is tried whenever something comes in, and every 10 ms. */
  async until(condition, what, timeout = 10_000) {
    if (condition()) return;
    await new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        clearInterval(ticker);
        this.waiters.delete(wake);
      };
      const wake = () => {
        if (!condition()) return;
        stop();
        resolve();
      };
      const timer = setTimeout(() => {
        stop();
        const seen = this.log.map((each) => `${each.name} ${JSON.stringify(each.data)?.slice(0, 150)}`);
        reject(new Error(`no ${what} within ${timeout} ms; came: ${seen.join(' | ')}`));
      }, timeout);
      const ticker = setInterval(wake, 10);
      this.waiters.add(wake);
    });
  }

  /** Break the transport as a dropped network would, and wait until the client has noticed. */
  async breakTransport() {
    const gone = new Promise((resolve) => this.socket.once('disconnect', resolve));
    this.socket.io.engine.close();
    await gone;
  }

  close() {
    this.socket.disconnect();
  }
}
