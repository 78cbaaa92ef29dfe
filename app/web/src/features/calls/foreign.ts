/**
 * HTTP to the person's own servers: JSON, their key as a bearer token, failures as sentences.
 *
 * A key goes to the origin that it was entered for and nowhere else: redirects are not followed,
 * and nothing of this page's (cookies, token, address) goes along.
 */

const SEARCH_MS = 20_000;
const MOST_CHARACTERS = 8_000_000;

export class ForeignError extends Error {
  override readonly name = 'ForeignError';
}

/**
 * What a person typed, as an address without a slash at its end.
 *
 * @throws {ForeignError} it is none
 */
export function readAddress(typed: string): string {
  const text = typed.trim();
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ForeignError('Enter an address that begins with https:// or http://.');
  }
  if (url.username || url.password) {
    throw new ForeignError(
      'Leave name and password out of the address; the key has its own field.',
    );
  }
  url.hash = '';
  return url.href.replace(/\/+$/, '');
}

export function hostOf(address: string): string {
  return URL.canParse(address) ? new URL(address).host : address;
}

/**
 * Send a request.
 *
 * @throws {ForeignError} there was no answer, or one that is an error
 */
export async function send(
  address: string,
  key: string,
  init: RequestInit = {},
): Promise<Response> {
  const headers = new Headers(init.headers);
  if (!headers.has('accept')) headers.set('accept', 'application/json');
  if (key) headers.set('authorization', `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(address, {
      ...init,
      headers,
      credentials: 'omit',
      redirect: 'error',
      referrerPolicy: 'no-referrer',
    });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ForeignError(
      `${hostOf(address)} cannot be reached from this page: it does not answer, redirects, or ` +
        `does not allow the page's origin (CORS).`,
    );
  }
  if (response.ok) return response;
  const said = messageOf(await readBody(response).catch(() => ''));
  const status = `HTTP ${response.status}`;
  throw new ForeignError(`${hostOf(address)} answered ${status}${said ? `: ${said}` : ''}`);
}

/** Read a JSON document. @throws {ForeignError} */
export async function getJson(address: string, key: string): Promise<unknown> {
  const signal = AbortSignal.timeout(SEARCH_MS);
  try {
    return JSON.parse(await text(await send(address, key, { signal })));
  } catch (error) {
    if (error instanceof ForeignError) throw error;
    if (signal.aborted) throw new ForeignError(`${hostOf(address)} did not answer within 20 s.`);
    throw new ForeignError(`${address} is not JSON.`);
  }
}

/** The body as JSON, or as text when it is none. */
export async function readBody(response: Response): Promise<unknown> {
  const body = await text(response);
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

async function text(response: Response): Promise<string> {
  if (!response.body) return '';
  const decoder = new TextDecoder();
  let found = '';
  for await (const piece of response.body) {
    found += decoder.decode(piece, { stream: true });
    if (found.length > MOST_CHARACTERS) throw new ForeignError('The answer has more than 8 MB.');
  }
  return found + decoder.decode();
}

/** What an error's body says, whatever its shape. */
export function messageOf(body: unknown): string {
  let found: unknown = body;
  for (let depth = 0; depth < 4; depth += 1) {
    if (typeof found !== 'object' || found === null) break;
    const { error, message, detail } = found as Record<string, unknown>;
    found = error ?? message ?? detail ?? JSON.stringify(found);
  }
  const sentence = typeof found === 'string' ? found.trim() : '';
  return /^<(!doctype|html)/i.test(sentence) ? '' : sentence.slice(0, 500);
}
