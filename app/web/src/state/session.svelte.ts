/**
 * Who is signed in, and what lives as long as that: the HTTP client, the connection, the calls.
 *
 * `session.current` is null until somebody is signed in; everything a feature needs of the server
 * hangs on it. Signing out, or a token that is not accepted any more, ends it.
 */

import {
  Api,
  ApiError,
  CallDesk,
  Connection,
  type Config,
  type ConnectionState,
  type SignedIn,
  type User,
} from '$lib/realtime';
import { preferences } from './preferences.svelte';
import { toasts } from './toasts.svelte';

const TOKEN = 'token'; // where Open WebUI's page and sign-in proxies put it, too

/** One signed-in person's work with the server. */
export class Session {
  readonly user: User;
  readonly api: Api;
  readonly config: Config;
  readonly connection: Connection;
  readonly calls: CallDesk;
  state: ConnectionState = $state.raw({ status: 'connecting' });

  #release: string | null = null;

  constructor(api: Api, user: User, config: Config) {
    this.api = api;
    this.user = user;
    this.config = config;
    this.connection = new Connection(location.origin, api.token ?? '', config.socket);
    this.calls = new CallDesk(this.connection);
    this.connection.onstate((state) => (this.state = state));
    this.connection.onconnect((recovered) => {
      if (!recovered) void this.#join();
    });
  }

  /** Enter the rooms of all channels (a recovered session has them), and look who answers now. */
  async #join(): Promise<void> {
    try {
      await this.connection.request('join-channels', {});
      const { version, deployment_id } = await this.api.version();
      const release = `${version} ${deployment_id}`;
      this.#release ??= release;
      if (this.#release !== release) {
        toasts.show('info', 'There is a new version', 'Reload the page when it suits you.');
      }
      this.#release = release;
    } catch {
      // The connection broke again: the next one joins.
    }
  }

  close(): void {
    this.calls.close();
    this.connection.close();
  }
}

class Sessions {
  constructor() {
    // Who signs out, or in as somebody else, in one tab does so in all of them.
    window.addEventListener('storage', ({ key, newValue }) => {
      if (key !== TOKEN || newValue === (this.current?.api.token ?? null)) return;
      this.current?.close();
      this.current = null;
      void this.start();
    });
  }

  /** `loading`: it is not known yet whether the stored token is good. */
  phase: 'loading' | 'signed-out' | 'signed-in' | 'unreachable' = $state('loading');
  current: Session | null = $state.raw(null);
  config: Config | null = $state.raw(null);
  /** Why the last session ended, for the sign-in page. */
  reason: string | null = $state(null);

  /** Take up the stored token, if there is one. */
  async start(): Promise<void> {
    this.phase = 'loading';
    const token = localStorage.getItem(TOKEN);
    try {
      this.config = await new Api('', null).config();
      if (token === null) {
        this.phase = 'signed-out';
        return;
      }
      const api = new Api('', token);
      this.#enter(api, await api.me());
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        this.#forget(error.message);
      } else {
        this.phase = 'unreachable';
      }
    }
  }

  async signIn(email: string, password: string): Promise<void> {
    this.#enterAs(await new Api('', null).signIn(email, password));
  }

  async signUp(name: string, email: string, password: string): Promise<void> {
    this.#enterAs(await new Api('', null).signUp(name, email, password));
  }

  signOut(): void {
    this.#forget(null);
  }

  #enterAs({ token, ...user }: SignedIn): void {
    localStorage.setItem(TOKEN, token);
    this.#enter(new Api('', token), user);
  }

  #enter(api: Api, user: User): void {
    if (!this.config) return;
    preferences.belongTo(user.id);
    const session = new Session(api, user, this.config);
    api.onunauthorised = (error) => this.#forget(error.message);
    session.connection.onstate((state) => {
      if (state.status === 'refused') this.#forget(state.message);
    });
    this.reason = null;
    this.current = session;
    this.phase = 'signed-in';
  }

  #forget(reason: string | null): void {
    localStorage.removeItem(TOKEN);
    preferences.belongTo(null);
    this.current?.close();
    this.current = null;
    this.reason = reason;
    this.phase = 'signed-out';
  }
}

export const sessions = new Sessions();

/** The present session. For components inside the signed-in part of the page only. */
export function session(): Session {
  if (!sessions.current) throw new Error('nobody is signed in');
  return sessions.current;
}
