/** Requests that meet a replica which drains. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { ApiError, Http } from '../src/lib/realtime/http';

let server: Server | undefined;
afterEach(() => server?.close());

/** A way to replicas of which the first so many that are met drain; what was posted, in order. */
async function proxy(
  draining: number,
  code = 'draining',
): Promise<{ http: Http; posts: string[] }> {
  const posts: string[] = [];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      posts.push(body);
      const refused = posts.length <= draining;
      response.writeHead(refused ? 503 : 200, { 'content-type': 'application/json' });
      const refusal = { detail: 'the server is stopping; try again in a moment', code };
      response.end(JSON.stringify(refused ? refusal : { status: true }));
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { http: new Http(`http://127.0.0.1:${port}`, 'token'), posts };
}

test('a request that a draining replica refuses is made again, as it was', async () => {
  const { http, posts } = await proxy(2);
  await expect(http.post('/api/chat/completions', { id: 'a' })).resolves.toEqual({ status: true });
  expect(posts).toEqual(['{"id":"a"}', '{"id":"a"}', '{"id":"a"}']);
});

test('other refusals are told at once', async () => {
  const { http, posts } = await proxy(2, 'unavailable');
  await expect(http.post('/api/chat/completions')).rejects.toMatchObject({ code: 'unavailable' });
  expect(posts).toHaveLength(1);
});

test('it gives up when all replicas drain', { timeout: 30_000 }, async () => {
  const { http, posts } = await proxy(100);
  await expect(http.get('/api/models')).rejects.toBeInstanceOf(ApiError);
  expect(posts.length).toBeGreaterThan(5);
  expect(posts.length).toBeLessThan(12);
});
