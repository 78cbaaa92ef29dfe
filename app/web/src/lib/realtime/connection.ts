/**
 * One socket to the server: it stays, comes back, and says truthfully how it is.
 *
 * Reconnection is scheduled here (1 s, doubled up to 5 s, jitter 0.5, as stock clients do), so
 * that a page can show when the next try is, and try at once when the network or the tab returns.
 * Recovery is the stock client's: the same `Socket` object returns with its `pid` and offset, and
 * listeners of {@link Connection.onconnect} are told whether everything missed has been replayed.
 *
 * Limits: events are not queued while the socket is down; {@link Connection.request} fails then.
 */

import { io, type Socket } from 'socket.io-client';
import type { ChatEvent, Config, RefusalPayload, Requests, ServerEvents } from './contract';
import { cleanChatEvent } from './shapes';

export type ConnectionState =
  | { status: 'connecting' }
  | { status: 'connected' }
  /** `nextAt`: when it is tried again, in ms since 1970; null: being tried now. */
  | { status: 'reconnecting'; since: number; attempt: number; nextAt: number | null }
  /** The browser says that there is no network. */
  | { status: 'offline'; since: number }
  /** The server will not have us; `code` is one of the client guide's refusals. */
  | { status: 'refused'; code: string; message: string }
  | { status: 'closed' };

/** An event that was refused, or got no acknowledgement (`not_connected`, `no_answer`). */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly code: string;
  readonly path: string | undefined;

  constructor({ code, message, path }: { code: string; message: string; path?: string }) {
    super(message);
    this.code = code;
    this.path = path;
  }
}

type Off = () => void;
type AnyListener = (...args: unknown[]) => void;

const FIRST_DELAY_MS = 1_000;
const MOST_DELAY_MS = 5_000;
const JITTER = 0.5;
const ANSWER_MS = 20_000;
const PROBE_MS = 5_000;

export class Connection {
  readonly #base: string;
  readonly #socket: Socket;
  readonly #config: Config['socket'];
  readonly #stateListeners = new Set<(state: ConnectionState) => void>();
  readonly #connectListeners = new Set<(recovered: boolean) => void>();
  readonly #refusalListeners = new Set<(refusal: RefusalPayload) => void>();
  readonly #abort = new AbortController();
  #state: ConnectionState = { status: 'connecting' };
  #attempt = 0;
  #downSince = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #beat: ReturnType<typeof setInterval> | undefined;
  #drainDelay: number | null = null;
  #ended: RefusalPayload | null = null;

  /**
   * @param base the server's origin
   * @param token of sign-in
   * @param config `socket` of `GET /api/config`
   */
  constructor(base: string, token: string, config: Config['socket']) {
    this.#base = base;
    this.#config = config;
    this.#socket = io(base, {
      path: config.path,
      transports: config.transports,
      auth: { token },
      reconnection: false, // ours, see above
      autoConnect: false,
      forceNew: true,
    });
    this.#listen();
    this.#socket.connect();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get connected(): boolean {
    return this.#state.status === 'connected';
  }

  /** The session's id; undefined while there is no connection. */
  get sessionId(): string | undefined {
    return this.#socket.id;
  }

  /** Seconds after which an unanswered call has failed. */
  get callTimeout(): number {
    return this.#config.call_timeout;
  }

  // -- listening -----------------------------------------------------------------------

  on<E extends keyof ServerEvents>(event: E, listener: ServerEvents[E]): Off {
    this.#socket.on(event as string, listener as AnyListener);
    return () => this.#socket.off(event as string, listener as AnyListener);
  }

  /** Events of chats that wait for no answer, in the shapes of the contract. */
  onchat(listener: (event: ChatEvent) => void): Off {
    return this.on('events', (event, acknowledge) => {
      if (typeof acknowledge === 'function') return;
      const clean = cleanChatEvent(event);
      if (clean) listener(clean);
    });
  }

  /** Called with the present state at once, then with each new one. */
  onstate(listener: (state: ConnectionState) => void): Off {
    this.#stateListeners.add(listener);
    listener(this.#state);
    return () => this.#stateListeners.delete(listener);
  }

  /**
   * Called after each connect. `recovered`: rooms are as before and what was missed comes, or has
   * come; otherwise join again and ask for what is lacking. Not called for a connection that is
   * there already.
   */
  onconnect(listener: (recovered: boolean) => void): Off {
    this.#connectListeners.add(listener);
    return () => this.#connectListeners.delete(listener);
  }

  /** Events of ours that were refused and had no acknowledgement, and ends (`event: null`). */
  onrefusal(listener: (refusal: RefusalPayload) => void): Off {
    this.#refusalListeners.add(listener);
    return () => this.#refusalListeners.delete(listener);
  }

  // -- sending -------------------------------------------------------------------------

  /**
   * Send an event and wait for its acknowledgement.
   *
   * @throws {Refused} the server's refusal; `not_connected` and `no_answer` when there was none
   */
  async request<E extends keyof Requests>(
    event: E,
    payload: Requests[E][0],
    timeout = ANSWER_MS,
  ): Promise<Requests[E][1]> {
    return (await this.#ask(event, payload, timeout)) as Requests[E][1];
  }

  async #ask(event: string, payload: unknown, timeout: number): Promise<unknown> {
    if (!this.connected) {
      throw new Refused({ code: 'not_connected', message: 'There is no connection just now.' });
    }
    let answer: unknown;
    try {
      answer = await this.#socket.timeout(timeout).emitWithAck(event, payload);
    } catch {
      throw new Refused({ code: 'no_answer', message: 'The server did not answer in time.' });
    }
    const error = (answer as { error?: { code: string; message: string } } | null)?.error;
    if (error) throw new Refused(error);
    return answer;
  }

  /** Send an event that needs no answer; dropped while there is no connection. */
  send<E extends keyof Requests>(event: E, payload: Requests[E][0]): void {
    if (this.connected) this.#socket.emit(event, payload);
  }

  /**
   * Send on a channel whose name the server made up, of a `request:chat:completion`.
   *
   * @throws {Refused} as {@link request}; after `no_answer` it may have come or not
   */
  sendOn(channel: string, piece: unknown, timeout = ANSWER_MS): Promise<unknown> {
    return this.#ask(channel, piece, timeout);
  }

  /** Try now instead of waiting. */
  retry(): void {
    const { status } = this.#state;
    if (status !== 'reconnecting' && status !== 'offline') return;
    clearTimeout(this.#timer);
    this.#attempt = 0;
    this.#try();
  }

  /** End the session; the object is of no use afterwards. */
  close(): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    this.#become({ status: 'closed' });
    this.#socket.disconnect();
  }

  // -- staying connected ---------------------------------------------------------------

  #listen(): void {
    const socket = this.#socket;
    socket.on('connect', () => this.#connected());
    socket.on('connect_error', (error: Error & { data?: { code?: string } }) => {
      const code = error.data?.code;
      if (code) this.#become({ status: 'refused', code, message: error.message });
      else this.#lost();
    });
    socket.on('disconnect', (reason) => {
      clearInterval(this.#beat);
      if (reason === 'io client disconnect') return;
      if (reason === 'io server disconnect') this.#sessionEnded();
      else this.#lost();
    });
    socket.on('server:draining', ({ reconnect_in_ms }: { reconnect_in_ms: number }) => {
      this.#drainDelay = reconnect_in_ms;
      this.#leaveReplica();
    });
    socket.on('error', (refusal: RefusalPayload) => {
      // With a document's id it is that document's end, not the session's.
      if (refusal.event === null && refusal.document_id === undefined) this.#ended = refusal;
      for (const listener of this.#refusalListeners) listener(refusal);
    });
    if (typeof window === 'undefined') return;
    const { signal } = this.#abort;
    window.addEventListener('online', () => this.retry(), { signal });
    window.addEventListener('offline', () => this.#networkGone(), { signal });
    document.addEventListener(
      'visibilitychange',
      () => {
        if (document.visibilityState === 'visible') void this.#awake();
      },
      { signal },
    );
  }

  /**
   * A sticky cookie would bring the next connection back to the replica that is about to end. Its
   * answers take the cookie away; nothing else about them matters, nor whether one comes. What
   * polls still needs the cookie, and loses it with the last poll.
   */
  #leaveReplica(): void {
    if (this.#socket.io.engine.transport.name === 'polling') return;
    fetch(`${this.#base}/api/version`, { cache: 'no-store', credentials: 'include' }).catch(
      () => undefined,
    );
  }

  #connected(): void {
    this.#attempt = 0;
    this.#downSince = 0;
    this.#drainDelay = null;
    this.#ended = null;
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    this.#beat = setInterval(
      () => this.send('heartbeat', {}),
      this.#config.heartbeat_interval * 1000,
    );
    this.#become({ status: 'connected' });
    for (const listener of this.#connectListeners) listener(this.#socket.recovered);
  }

  #lost(): void {
    if (this.#state.status === 'closed') return;
    this.#downSince ||= Date.now();
    if (typeof navigator !== 'undefined' && navigator.onLine === false) {
      this.#networkGone();
      return;
    }
    const delay = this.#drainDelay ?? this.#nextDelay();
    this.#drainDelay = null;
    this.#attempt += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#try(), delay);
    this.#become({
      status: 'reconnecting',
      since: this.#downSince,
      attempt: this.#attempt,
      nextAt: Date.now() + delay,
    });
  }

  #nextDelay(): number {
    const base = Math.min(MOST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempt);
    const jittered = base * (1 + JITTER * (Math.random() * 2 - 1));
    return Math.min(MOST_DELAY_MS, jittered);
  }

  #try(): void {
    const since = this.#downSince || Date.now();
    this.#become({ status: 'reconnecting', since, attempt: this.#attempt, nextAt: null });
    this.#socket.connect();
  }

  #networkGone(): void {
    if (this.#state.status === 'closed' || this.#state.status === 'refused') return;
    clearTimeout(this.#timer);
    this.#downSince ||= Date.now();
    this.#become({ status: 'offline', since: this.#downSince });
    // What is still open is dead, but may not notice for a minute.
    this.#socket.io.engine.close();
  }

  /** The server ended the session and said why in an `error` event before. */
  #sessionEnded(): void {
    const { code, message } = this.#ended ?? {
      code: 'session_ended',
      message: 'The server ended this session.',
    };
    this.#ended = null;
    if (code === 'role_changed') {
      this.#downSince = Date.now();
      this.#try(); // as who we are now
      return;
    }
    this.#become({ status: 'refused', code, message });
  }

  /** A tab that slept may hold a connection that is long gone: ask. */
  async #awake(): Promise<void> {
    if (!this.connected) {
      this.retry();
      return;
    }
    const { sessionId } = this;
    try {
      await this.request('heartbeat', {}, PROBE_MS);
    } catch {
      if (this.connected && this.sessionId === sessionId) this.#socket.io.engine.close();
    }
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    for (const listener of this.#stateListeners) listener(state);
  }
}
