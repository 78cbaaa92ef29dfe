import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { describe as read } from '$features/calls/openapi';
import { callTool, enabledToolServers, readToolServer } from '$features/calls/toolServers';
import type { Call } from '$lib/realtime';
import { preferences } from '$state/preferences.svelte';
import { closeScenes, ownServer, scene } from './calls-scene';

const url = inject('url');

beforeEach(() => {
  preferences.toolServers = [];
});
afterEach(closeScenes);

const DESCRIPTION = {
  openapi: '3.1.0',
  info: { title: 'Weather' },
  servers: [{ url: '/api/v2' }],
  paths: {
    '/cities/{city}/forecast': {
      parameters: [{ $ref: '#/components/parameters/City' }],
      get: {
        operationId: 'forecast',
        summary: 'The weather to come.',
        parameters: [
          { name: 'days', in: 'query', schema: { type: 'integer', example: 3 } },
          { name: 'X-Trace', in: 'header', schema: { type: 'string' } },
        ],
      },
    },
    '/reports': {
      post: {
        operationId: 'report weather!',
        requestBody: {
          required: true,
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Report' } } },
        },
      },
    },
    '/batch': {
      put: {
        requestBody: {
          content: { 'application/json': { schema: { type: 'array', items: { type: 'number' } } } },
        },
      },
    },
  },
  components: {
    parameters: { City: { name: 'city', in: 'path', required: true, schema: { type: 'string' } } },
    schemas: {
      Report: {
        type: 'object',
        required: ['example'],
        properties: {
          example: { type: 'string' },
          near: { type: 'array', items: { $ref: '#/components/schemas/Report' } },
        },
      },
    },
  },
};

interface Asked {
  method: string | undefined;
  url: string | undefined;
  key: string | undefined;
  body: string;
}

/** The weather's server; it remembers what it was asked. */
async function weather(document: unknown = DESCRIPTION) {
  const asked: Asked[] = [];
  const base = await ownServer((request, response) => {
    let body = '';
    request.on('data', (data: Buffer) => (body += data.toString()));
    request.on('end', () => {
      const { method, url: path, headers } = request;
      if (path === '/openapi.json') {
        response.end(JSON.stringify(document));
        return;
      }
      asked.push({ method, url: path, key: headers.authorization, body });
      if (path?.includes('Atlantis')) response.writeHead(404).end('{"detail": "no such city"}');
      else response.end(JSON.stringify({ degrees: 21 }));
    });
  });
  const server = { ...(await readToolServer(base, 'k3y')), enabled: true };
  preferences.toolServers = [server];
  return { base, asked, server };
}

function call(name: string, params: Record<string, unknown>, server?: { url: string }) {
  const data = { name, params, ...(server ? { server } : {}) };
  const { signal } = new AbortController();
  return callTool({ data, signal } as Call<'execute:tool'>);
}

test('operations become tools, with references put in place', () => {
  const { name, specs, operations } = read(DESCRIPTION, 'https://tools.example');
  expect(name).toBe('Weather');
  expect(specs.map((spec) => spec.name)).toEqual(['forecast', 'report_weather', 'put_batch']);
  expect(specs[0]).toEqual({
    name: 'forecast',
    description: 'The weather to come.',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
      required: ['city'],
    },
  });
  // A property may be called as a word that is left out of schemas; what is within itself ends.
  expect(specs[1]?.parameters).toEqual({
    type: 'object',
    properties: {
      example: { type: 'string' },
      near: { type: 'array', items: {} },
    },
    required: ['example'],
  });
  expect(operations['forecast']).toEqual({
    method: 'GET',
    path: '/api/v2/cities/{city}/forecast',
    inPath: ['city'],
    inQuery: ['days'],
  });
  expect(operations['put_batch']?.whole).toBe('body');
});

test('a description may not lead to another origin', () => {
  const servers = [{ url: 'https://elsewhere.example/x' }];
  const { operations } = read({ ...DESCRIPTION, servers }, 'https://tools.example/base');
  expect(operations['forecast']?.path).toBe('/base/cities/{city}/forecast');
});

test.each([null, 5, 'x', {}, { swagger: '2.0' }, { openapi: '3.0.0' }, { openapi: 3 }])(
  'what is no description is refused: %j',
  (document) => {
    expect(() => read(document, 'https://tools.example')).toThrow(/OpenAPI 3|no operations/);
  },
);

test('a description that unfolds without end is bounded', () => {
  const properties = Object.fromEntries(
    Array.from({ length: 40 }, (_, at) => [`p${at}`, { $ref: `#/components/schemas/S${at}` }]),
  );
  const schemas = Object.fromEntries(
    Array.from({ length: 40 }, (_, at) => [`S${at}`, { type: 'object', properties }]),
  );
  const schema = { $ref: '#/components/schemas/S0' };
  const post = { requestBody: { content: { 'application/json': { schema } } } };
  const document = { openapi: '3.0.0', paths: { '/x': { post } }, components: { schemas } };
  const { specs } = read(document, 'https://tools.example');
  expect(JSON.stringify(specs).length).toBeLessThan(5_000_000);
});

test('arguments go where they belong, and the key to the server alone', async () => {
  const { base, asked } = await weather();
  const server = { url: base };
  expect(await call('forecast', { city: 'Bad Ems/1', days: 3, more: 1 }, server)).toEqual({
    degrees: 21,
  });
  await call('report_weather', { example: 'x', near: [] }, server);
  await call('put_batch', { body: [1, 2] });
  expect(asked).toEqual([
    {
      method: 'GET',
      url: '/api/v2/cities/Bad%20Ems%2F1/forecast?days=3',
      key: 'Bearer k3y',
      body: '',
    },
    {
      method: 'POST',
      url: '/api/v2/reports',
      key: 'Bearer k3y',
      body: '{"example":"x","near":[]}',
    },
    { method: 'PUT', url: '/api/v2/batch', key: 'Bearer k3y', body: '[1,2]' },
  ]);
});

test('a call that cannot be made is an error in a sentence', async () => {
  const { base, asked } = await weather();
  const server = { url: base };
  expect(await call('forecast', {}, { url: 'https://other.example' })).toEqual({
    error: 'Tool Server Not Found',
  });
  expect(await call('unknown', {})).toEqual({ error: 'Tool Server Not Found' });
  expect(await call('toString', {}, server)).toEqual({
    error: expect.stringMatching(/Tool Not Found/),
  });
  expect(await call('forecast', {}, server)).toEqual({
    error: expect.stringMatching(/city is missing/),
  });
  expect(await call('forecast', { city: '..' }, server)).toEqual({
    error: expect.stringMatching(/cannot have/),
  });
  expect(asked).toEqual([]);
  expect(await call('forecast', { city: 'Atlantis' }, server)).toMatchObject({
    error: expect.stringMatching(/HTTP 404: no such city/),
  });
  preferences.toolServers = preferences.toolServers.map((each) => ({ ...each, enabled: false }));
  expect(await call('forecast', { city: 'Ems' }, server)).toEqual({
    error: 'Tool Server Not Found',
  });
});

test('an address that is none is refused in a sentence', async () => {
  await expect(readToolServer('tools.example', '')).rejects.toThrow(/begins with https/);
  await expect(readToolServer('ftp://tools.example', '')).rejects.toThrow(/begins with https/);
  await expect(readToolServer('https://a:b@tools.example', '')).rejects.toThrow(/password/);
  await expect(readToolServer('http://127.0.0.1:9', '')).rejects.toThrow(/cannot be reached/);
});

test('a request offers the enabled tools, no more than the server takes', async () => {
  const { server } = await weather();
  const spec = { name: 'x', description: 'd'.repeat(9_000) };
  const many = { ...server, specs: Array.from({ length: 200 }, () => spec) };
  preferences.toolServers = [{ ...server, enabled: false }, many, { ...many, url: 'https://b' }];
  const offered = enabledToolServers();
  expect(JSON.stringify(offered).length).toBeLessThan(1_048_576);
  expect(offered.flatMap(({ specs }) => specs).length).toBeLessThanOrEqual(200);
  expect(JSON.stringify(offered)).not.toContain('k3y');
});

test('a model calls a tool of the person’s own server through their page', async () => {
  const { asked } = await weather();
  const { room, desk, answered } = await scene(url);
  desk.handle('execute:tool', callTool);
  await room.ask('/forecast {"city": "Ems"}', {
    model: 'echo',
    tool_servers: enabledToolServers(),
  });
  expect((await answered()).content).toContain('"degrees":');
  expect(asked[0]?.url).toBe('/api/v2/cities/Ems/forecast');
});
