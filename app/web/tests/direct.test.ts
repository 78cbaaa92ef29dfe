import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { answerCompletion } from '$features/calls/directCompletion';
import { directModels, modelItem, readModelServer } from '$features/calls/directModels';
import { preferences } from '$state/preferences.svelte';
import { breakAndReturn, closeScenes, lineTo, ownServer, scene, type Scene } from './calls-scene';
import { until } from './server';

const url = inject('url');

beforeEach(() => {
  preferences.modelServers = [];
});
afterEach(closeScenes);

interface Asked {
  request: IncomingMessage;
  body: Record<string, unknown>;
  response: ServerResponse;
}

/** An OpenAI-compatible server, whose answers the test writes. */
async function modelServer(
  answer: (asked: Asked) => void,
): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const base = await ownServer((request, response) => {
    if (request.url === '/v1/models') {
      response.end(JSON.stringify({ data: [{ id: 'tiny' }, { id: 'large', name: 'Large' }, {}] }));
      return;
    }
    let text = '';
    request.on('data', (data: Buffer) => (text += data.toString()));
    request.on('end', () => {
      const each = { request, response, body: JSON.parse(text) as Record<string, unknown> };
      asked.push(each);
      answer(each);
    });
  });
  return { url: `${base}/v1`, asked };
}

/** A chat whose page has that server's models; asks the first. */
async function direct(base: string, server: string, key = 'secret'): Promise<Scene> {
  preferences.modelServers = [await readModelServer(server, key)];
  const here = await scene(base);
  here.desk.handle('request:chat:completion', (call) => answerCompletion(call, here.connection));
  return here;
}

function ask({ room }: Scene, text: string): Promise<void> {
  const [model] = directModels();
  if (!model) throw new Error('no model');
  const item = modelItem(model.id);
  return room.ask(text, { model: model.id, ...(item ? { model_item: item } : {}) });
}

const chunk = (content: string) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;
const stream = { 'content-type': 'text/event-stream' };
const DONE = 'data: [DONE]\n\n';

test('models are read, and named so that two servers do not clash', async () => {
  const one = await modelServer(() => undefined);
  const two = await modelServer(() => undefined);
  preferences.modelServers = [
    await readModelServer(` ${one.url}/ `, ''),
    await readModelServer(two.url, 'k'),
  ];
  const models = directModels();
  expect(models.map(({ name }) => name)).toEqual(['tiny', 'Large', 'tiny', 'Large']);
  expect(new Set(models.map(({ id }) => id)).size).toBe(4);
  const item = modelItem(models[2]?.id ?? '');
  expect(item).toEqual({
    direct: true,
    url: two.url,
    model: 'tiny',
    name: 'tiny',
    id: models[2]?.id,
  });
  expect(modelItem('echo')).toBeUndefined();
});

test('an answer is streamed from the own model through the server into the chat', async () => {
  const text = 'Grüße: 🌞 “words” that are cut anywhere. '.repeat(20);
  const model = await modelServer(({ response }) => {
    response.writeHead(200, stream);
    // Cut in the middle of lines and of characters.
    const bytes = Buffer.from(`: hello\n\n${[...text].map(chunk).join('')}${DONE}`);
    for (let at = 0; at < bytes.length; at += 97) response.write(bytes.subarray(at, at + 97));
    response.end();
  });
  const here = await direct(url, model.url);
  await ask(here, 'Say something');
  expect((await here.answered()).content).toBe(text);
  expect(model.asked[0]?.body).toMatchObject({
    model: 'tiny',
    messages: [{ role: 'user', content: 'Say something' }],
  });
  expect(model.asked[0]?.request.headers.authorization).toBe('Bearer secret');
});

test('a fast and long answer arrives whole, within the limits of the server', async () => {
  const words = Array.from({ length: 20_000 }, (_, number) => `word${number} `);
  const model = await modelServer(({ response }) => {
    response.writeHead(200, stream);
    response.end(words.map(chunk).join('') + DONE);
  });
  const here = await direct(url, model.url);
  await ask(here, 'Go');
  expect((await here.answered()).content).toBe(words.join(''));
});

test('an answer in one piece is taken, too', async () => {
  const model = await modelServer(({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ choices: [{ message: { content: 'All at once' } }] }));
  });
  const here = await direct(url, model.url);
  await ask(here, 'Go');
  expect((await here.answered()).content).toBe('All at once');
});

test('what the model server says of a failure is the answer’s error', async () => {
  const model = await modelServer(({ response }) => {
    response.writeHead(401).end(JSON.stringify({ error: { message: 'Wrong key' } }));
  });
  const here = await direct(url, model.url);
  await ask(here, 'Go');
  expect((await here.answered('error')).error?.content).toContain('HTTP 401: Wrong key');
});

test('a model server that is gone, or not configured any more, is said to be', async () => {
  const model = await modelServer(() => undefined);
  const here = await direct(url, model.url);
  const gone = 'http://127.0.0.1:9/v1';
  preferences.modelServers = preferences.modelServers.map((each) => ({ ...each, url: gone }));
  await ask(here, 'Go');
  expect((await here.answered('error')).error?.content).toContain('cannot be reached');
  const item = { direct: true as const, url: model.url, model: 'tiny' };
  await here.room.ask('Go', { model: 'tiny', model_item: item });
  expect((await here.answered('error')).error?.content).toContain('settings');
});

test('an answer that breaks off keeps what came and says so', async () => {
  const model = await modelServer(({ response }) => {
    response.writeHead(200, stream);
    response.write(chunk('Half'), () => response.destroy());
  });
  const here = await direct(url, model.url);
  await ask(here, 'Go');
  const answer = await here.answered('error');
  expect(answer.content).toBe('Half');
  expect(answer.error?.code).toBe('upstream_cut');
});

test('stopping the answer ends the request to the model', async () => {
  const model = await modelServer(({ response }) => {
    response.writeHead(200, stream);
    response.write(chunk('Begun '));
  });
  const here = await direct(url, model.url);
  await ask(here, 'Go');
  await until(() => here.room.branch().at(-1)?.content === 'Begun ', 'begun');
  const [asked] = model.asked;
  const closed = new Promise((resolve) => asked?.response.on('close', resolve));
  await here.room.stop();
  await here.answered('stopped');
  await closed;
});

test('the line breaks in mid-stream, and the answer is whole all the same', async () => {
  const line = await lineTo(url);
  const model = await modelServer(({ response }) => {
    response.writeHead(200, stream);
    response.write(chunk('Before. '));
  });
  const here = await direct(line.url, model.url);
  await ask(here, 'Go');
  await until(() => here.room.branch().at(-1)?.content === 'Before. ', 'begun');
  const response = model.asked[0]?.response;
  line.cut();
  await until(() => !here.connection.connected, 'the line is down');
  response?.write(chunk('Meanwhile. '));
  await until(() => here.connection.connected, 'the line is there again');
  response?.write(chunk('After.'));
  response?.end(DONE);
  expect((await here.answered()).content).toBe('Before. Meanwhile. After.');
  await breakAndReturn(line, here); // and the session is as good as before
});
