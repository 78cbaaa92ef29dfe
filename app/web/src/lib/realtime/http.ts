/**
 * JSON over HTTP, with the errors of the contract.
 *
 * Guarantee: whatever goes wrong is an {@link ApiError} with a stable `code` and a sentence for
 * people; `unreachable` (status 0) when no answer came at all. A replica that drains refuses what
 * would begin something new, before it has any effect: such a request is made again, which the
 * proxy takes to another replica, for about six seconds.
 */

const ATTEMPTS = 9;
const PAUSE_MS = [250, 1_000] as const; // the first, and the longest

export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: string;
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** The place in the body that was refused, if the server named one. */
  readonly path: string | undefined;

  constructor(code: string, message: string, status: number, path?: string) {
    super(message);
    this.code = code;
    this.status = status;
    this.path = path;
  }
}

type Query = Record<string, string | number | undefined>;

export class Http {
  readonly #base: string;
  #token: string | null;

  /** Called on every 401 of a request that carried a token. */
  onunauthorised: ((error: ApiError) => void) | null = null;

  /**
   * @param base where the server is, without a slash at its end; empty for the page's own origin
   * @param token of sign-in, or null for the public endpoints only
   */
  constructor(base: string, token: string | null) {
    this.#base = base;
    this.#token = token;
  }

  get token(): string | null {
    return this.#token;
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    const parts = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== '') parts.set(name, String(value));
    }
    return this.#send<T>('GET', parts.size > 0 ? `${path}?${parts.toString()}` : path);
  }

  post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.#send<T>('POST', path, body);
  }

  delete<T>(path: string): Promise<T> {
    return this.#send<T>('DELETE', path);
  }

  async #send<T>(method: string, path: string, body?: unknown): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#sendOnce<T>(method, path, body);
      } catch (error) {
        const elsewhere = error instanceof ApiError && error.code === 'draining';
        if (!elsewhere || attempt === ATTEMPTS) throw error;
      }
      const pause = Math.min(PAUSE_MS[0] * 1.5 ** (attempt - 1), PAUSE_MS[1]);
      await new Promise((resolve) => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
    }
  }

  async #sendOnce<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { accept: 'application/json' };
    const token = this.#token;
    if (token !== null) headers['authorization'] = `Bearer ${token}`;
    if (body !== undefined) headers['content-type'] = 'application/json';
    let response: Response;
    try {
      response = await fetch(this.#base + path, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new ApiError('unreachable', 'The server cannot be reached. Is the network up?', 0);
    }
    const answer: unknown = await response.json().catch(() => null);
    if (response.ok) return answer as T;
    const { code, detail, path: place } = (answer ?? {}) as Record<string, string | undefined>;
    const error = new ApiError(
      code ?? 'http_error',
      detail ?? `The server answered ${response.status} to ${method} ${path}.`,
      response.status,
      place,
    );
    if (response.status === 401 && token !== null) this.onunauthorised?.(error);
    throw error;
  }
}
