// Many clients that only poll, through a proxy with a sticky cookie, for some seconds.
//
//   node sticky.js
//
// The first line of standard input: {"url", "token", "clients", "seconds", "cookie"}. Each client
// asks again and again, so that every request that reaches another replica than the session's
// shows. Writes one line: {"connected", "errors": {what: count}, "calls", "cookies": {value:
// clients}}.

import { createInterface } from 'node:readline';

import { Client } from './lib/client.js';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { url, token, clients, seconds, cookie } = JSON.parse((await lines.next()).value);
const errors = {};
const failed = (what) => (errors[what] = (errors[what] ?? 0) + 1);
const cookies = {};
let calls = 0;
let connected = 0;
let over = false;

async function live() {
  const client = new Client(url, 'polling', { auth: { token } });
  client.socket.on('connect_error', (error) => failed(`connect_error: ${error.message}`));
  client.socket.on('disconnect', (reason) => over || failed(`disconnect: ${reason}`));
  try {
    await client.connected();
    for (const [name, { value }] of client.socket.io.engine._cookieJar.cookies) {
      if (name === cookie) cookies[value] = (cookies[value] ?? 0) + 1;
    }
    const until = performance.now() + seconds * 1000;
    while (performance.now() < until) {
      const answer = await client.call('user-join', { auth: { token } });
      if (answer.error) failed(`user-join: ${answer.error.code}`);
      calls += 1;
      await new Promise((wake) => setTimeout(wake, 200 + 400 * Math.random()));
    }
    connected += client.socket.connected;
  } catch (error) {
    failed(error.message);
  }
  return client;
}

const all = await Promise.all(Array.from({ length: clients }, live));
over = true;
for (const client of all) client.close();
process.stdout.write(`${JSON.stringify({ connected, errors, calls, cookies })}\n`, () => process.exit(0));
