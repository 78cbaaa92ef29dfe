/**
 * Real servers for the tests: `heliograph serve` on a free port, with a database of its own.
 *
 * One runs for the whole run (its address is `inject('url')`); a test that stops or restarts a
 * server starts its own. HELIOGRAPH names the command, else it is the one in the project's .venv.
 */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { Api, type SignedIn } from '../src/lib/realtime/index.ts';

declare module 'vitest' {
  interface ProvidedContext {
    url: string;
  }
}

const COMMAND =
  process.env['HELIOGRAPH'] ??
  fileURLToPath(new URL('../../../.venv/bin/heliograph', import.meta.url));

export interface RunningServer {
  url: string;
  port: number;
  /** End it; `SIGKILL` without a word to anybody. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Start it again, on the same port and database. */
  start(): Promise<void>;
  /** Stop it and remove its database. */
  remove(): Promise<void>;
}

/** Start a server; `environment` are settings besides the tests' own. */
export async function startServer(
  environment: Record<string, string> = {},
): Promise<RunningServer> {
  const folder = await mkdtemp(join(tmpdir(), 'heliograph-web-'));
  const env = {
    ...process.env,
    DATA_DIR: folder,
    PORT: '0',
    ECHO_DELAY_MS: '1',
    AUTH_ATTEMPTS_PER_MINUTE: '1000',
    ...environment,
  };
  const migrated = spawnSync(COMMAND, ['migrate'], { env, encoding: 'utf8' });
  if (migrated.status !== 0) throw new Error(`heliograph migrate: ${migrated.stderr}`);
  let child: ChildProcess;
  const server: RunningServer = {
    url: '',
    port: 0,
    async start() {
      child = spawn(COMMAND, ['serve', '--port', String(server.port)], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      server.url = await address(child);
      server.port = Number(new URL(server.url).port);
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    },
    async remove() {
      await server.stop('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

async function address(child: ChildProcess): Promise<string> {
  const said: string[] = [];
  child.stderr?.on('data', (data: Buffer) => said.push(data.toString()));
  if (!child.stdout) throw new Error('the server has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /serves on (http:\S+)/.exec(line);
    if (found?.[1]) return found[1];
    said.push(line);
  }
  throw new Error(`the server did not start:\n${said.join('\n')}`);
}

let people = 0;

/** A new account. */
export async function signUp(url: string, name?: string): Promise<SignedIn> {
  people += 1;
  const unique = `${process.pid}-${people}-${Math.random().toString(36).slice(2)}`;
  const api = new Api(url, null);
  return api.signUp(name ?? `Person ${people}`, `${unique}@example.org`, 'correct horse');
}

/** Wait until `condition` gives something; a failed condition says what it was. */
export async function until<T>(
  condition: () => T | Promise<T>,
  what = String(condition),
  timeout = 15_000,
): Promise<NonNullable<T>> {
  const end = Date.now() + timeout;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${timeout} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Vitest's global set-up. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startServer();
  project.provide('url', server.url);
  return () => server.remove();
}
