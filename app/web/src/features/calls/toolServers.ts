/**
 * Tool servers of the person's own: what they offer, and calls of it from this page.
 *
 * Arguments are what a model made up: only those that the operation knows are sent, each in its
 * place, to the configured server. Keys stay in this browser.
 */

import type { Call, CompletionRequest } from '$lib/realtime';
import { preferences, type Operation, type ToolServer } from '$state/preferences.svelte';
import { ForeignError, getJson, hostOf, readAddress, readBody, send } from './foreign';
import { describe, MOST_TOOLS } from './openapi';

const MOST_SERVERS = 20; // of one completion request, as are these
const MOST_CHARACTERS = 1_000_000;

/**
 * Read what a server offers.
 *
 * @param typed its address, or that of its `openapi.json`
 * @throws {Error} a sentence
 */
export async function readToolServer(
  typed: string,
  key: string,
  name = '',
): Promise<Omit<ToolServer, 'enabled'>> {
  const url = readAddress(typed);
  const place = new URL(url).pathname.endsWith('.json') ? url : `${url}/openapi.json`;
  const found = describe(await getJson(place, key), url);
  return { ...found, url, key, name: name.trim() || found.name || hostOf(url) };
}

/** The tools that a completion request offers; no more of them than the server takes. */
export function enabledToolServers(): NonNullable<CompletionRequest['tool_servers']> {
  const found: NonNullable<CompletionRequest['tool_servers']> = [];
  let tools = 0;
  let size = 0;
  for (const { url, name, specs, enabled } of preferences.toolServers) {
    if (!enabled || found.length >= MOST_SERVERS) continue;
    const offered = [];
    for (const spec of specs) {
      const bytes = new TextEncoder().encode(JSON.stringify(spec)).byteLength + 20;
      if (tools >= MOST_TOOLS || size + bytes > MOST_CHARACTERS) break;
      offered.push(spec);
      tools += 1;
      size += bytes;
    }
    if (offered.length > 0) found.push({ url, name: name.slice(0, 200), specs: offered });
  }
  return found;
}

/** The answer of the call `execute:tool`: what the tool says, or `{error}`. */
export async function callTool(call: Call<'execute:tool'>): Promise<unknown> {
  const { name, params = {}, server } = call.data;
  const found = preferences.toolServers.find(
    ({ url, enabled, operations }) =>
      enabled && (server ? url === server.url : Object.hasOwn(operations, name)),
  );
  if (!found) return { error: 'Tool Server Not Found' };
  const operation = Object.hasOwn(found.operations, name) ? found.operations[name] : undefined;
  if (!operation) return { error: `Tool Not Found: ${found.name} has no ${name}` };
  try {
    return await perform(found, operation, params, call.signal);
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

async function perform(
  { url, key, name }: ToolServer,
  operation: Operation,
  params: Record<string, unknown>,
  signal: AbortSignal,
): Promise<unknown> {
  const rest = new Map(Object.entries(params));
  const take = (parameter: string): unknown => {
    const value = rest.get(parameter);
    rest.delete(parameter);
    return value;
  };
  const path = operation.path.replaceAll(/\{([^{}]+)\}/g, (_, parameter: string) =>
    pathPart(parameter, take(parameter)),
  );
  const address = new URL(new URL(url).origin + path);
  const hasBody = operation.method !== 'GET' && operation.method !== 'DELETE';
  for (const parameter of operation.inQuery) append(address, parameter, take(parameter));
  const body = operation.whole === undefined ? Object.fromEntries(rest) : take(operation.whole);
  const response = await send(address.href, key, {
    method: operation.method,
    signal,
    ...(hasBody
      ? { body: JSON.stringify(body ?? null), headers: { 'content-type': 'application/json' } }
      : {}),
  });
  const answer = await readBody(response);
  return answer === '' ? `${name} answered with nothing (HTTP ${response.status}).` : answer;
}

function pathPart(parameter: string, value: unknown): string {
  const text = value === undefined || value === null ? '' : plain(value);
  // "." and ".." would lead to another operation.
  if (text === '' || text === '.' || text === '..') {
    throw new ForeignError(`The parameter ${parameter} is missing, or has a value it cannot have.`);
  }
  return encodeURIComponent(text);
}

function append(address: URL, parameter: string, value: unknown): void {
  if (value === undefined || value === null) return;
  for (const each of Array.isArray(value) ? value : [value]) {
    address.searchParams.append(parameter, plain(each));
  }
}

function plain(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
