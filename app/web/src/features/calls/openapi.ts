/**
 * An OpenAPI description as tools: each operation one, its parameters and body one JSON schema.
 *
 * References within the document are put in place, bounded in depth and number; what refers to
 * itself ends in "anything". Limits: OpenAPI 3 in JSON; JSON bodies; no header or cookie
 * parameters.
 */

import type { ToolSpec } from '$lib/realtime';
import type { Operation } from '$state/preferences.svelte';

export interface Description {
  name: string;
  specs: ToolSpec[];
  operations: Record<string, Operation>;
}

type Json = Record<string, unknown>;

export const MOST_TOOLS = 200;
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const MOST_DEPTH = 24; // the server takes 64 levels
const MOST_NODES = 50_000;
const NAMING = new Set(['properties', 'patternProperties', '$defs']);
const NOT_FOR_MODELS = new Set(['example', 'examples', 'xml', 'externalDocs', 'discriminator']);

/**
 * @param document what was read
 * @param address where the server is: paths are relative to it unless the description names a
 *   place on the same origin
 * @throws {Error} a sentence: it is no such description, or has no operations
 */
export function describe(document: unknown, address: string): Description {
  const root = object(document);
  const { openapi } = root;
  if (typeof openapi !== 'string' || !openapi.startsWith('3.')) {
    throw new Error('This is no OpenAPI 3 description.');
  }
  const reader = new Reader(root);
  const base = basePath(root, address);
  const found: Description = {
    name: text(object(root['info'])['title']).slice(0, 200),
    specs: [],
    operations: {},
  };
  for (const [path, item] of Object.entries(object(root['paths']))) {
    const shared = reader.resolve(item);
    for (const method of METHODS) {
      if (shared[method] === undefined || found.specs.length >= MOST_TOOLS) continue;
      const operation = reader.resolve(shared[method]);
      const name = toolName(text(operation['operationId']) || `${method}${path}`, found.operations);
      const { parameters, ...how } = reader.inputs(operation, list(shared['parameters']));
      const description = text(operation['description']) || text(operation['summary']);
      found.specs.push({ name, description: description.slice(0, 10_000), parameters });
      found.operations[name] = { method: method.toUpperCase(), path: base + path, ...how };
    }
  }
  if (found.specs.length === 0) throw new Error('The description names no operations.');
  return found;
}

/** Reads parts of one document. */
class Reader {
  readonly #root: Json;
  #nodes = 0;

  constructor(root: Json) {
    this.#root = root;
  }

  /** A part, or what it refers to. */
  resolve(part: unknown): Json {
    let found = object(part);
    for (let hops = 0; typeof found['$ref'] === 'string' && hops < 10; hops += 1) {
      found = object(this.#at(found['$ref']));
    }
    return found;
  }

  inputs(
    operation: Json,
    shared: unknown[],
  ): Omit<Operation, 'method' | 'path'> & { parameters: Json } {
    const properties: Json = {};
    const required = new Set<string>();
    const places = { path: [] as string[], query: [] as string[] };
    for (const each of [...shared, ...list(operation['parameters'])]) {
      const parameter = this.resolve(each);
      const name = text(parameter['name']);
      const place = text(parameter['in']) as keyof typeof places;
      if (!name || !Object.hasOwn(places, place)) continue;
      const [content] = Object.values(object(parameter['content']));
      const schema = object(this.schema(parameter['schema'] ?? object(content)['schema']));
      const description = text(parameter['description']);
      properties[name] = description ? { ...schema, description } : schema;
      if (!places[place].includes(name)) places[place].push(name);
      if (parameter['required'] === true || place === 'path') required.add(name);
    }
    const body = this.#body(operation);
    let whole: string | undefined;
    if (body && isObjectSchema(body.schema)) {
      const { properties: own, required: needed } = body.schema;
      for (const [name, schema] of Object.entries(object(own))) properties[name] ??= schema;
      for (const name of list(needed)) if (typeof name === 'string') required.add(name);
    } else if (body) {
      whole = 'body' in properties ? 'request_body' : 'body';
      properties[whole] = body.schema;
      if (body.required) required.add(whole);
    }
    const parameters: Json = { type: 'object', properties };
    if (required.size > 0) parameters['required'] = [...required];
    return {
      inPath: places.path,
      inQuery: places.query,
      parameters,
      ...(whole === undefined ? {} : { whole }),
    };
  }

  #body(operation: Json): { schema: Json; required: boolean } | null {
    const body = this.resolve(operation['requestBody']);
    const types = Object.entries(object(body['content']));
    const json = types.find(([type]) => /^application\/(?:.+\+)?json\b/.test(type));
    if (!json) return null;
    const schema = object(this.schema(object(json[1])['schema']));
    return { schema, required: body['required'] === true };
  }

  /**
   * A schema with all its references put in place.
   *
   * @param names whether the keys are names of a person's making, not words of JSON Schema
   */
  schema(part: unknown, depth = 0, within: readonly string[] = [], names = false): unknown {
    this.#nodes += 1;
    if (this.#nodes > MOST_NODES || depth > MOST_DEPTH) return {};
    if (Array.isArray(part)) return part.map((each) => this.schema(each, depth + 1, within));
    if (typeof part !== 'object' || part === null) return part;
    const reference = names ? undefined : (part as Json)['$ref'];
    const found: Json = {};
    if (typeof reference === 'string') {
      if (within.includes(reference)) return {};
      const target = this.#at(reference);
      Object.assign(found, this.schema(target, depth + 1, [...within, reference]));
    }
    for (const [key, value] of Object.entries(part)) {
      if (!names && (key === '$ref' || NOT_FOR_MODELS.has(key))) continue;
      found[key] = this.schema(value, depth + 1, within, !names && NAMING.has(key));
    }
    return found;
  }

  /** What a reference names: of this document, or nothing. */
  #at(reference: string): unknown {
    if (!reference.startsWith('#/')) return {};
    let found: unknown = this.#root;
    for (const part of reference.slice(2).split('/')) {
      const key = decode(part).replaceAll('~1', '/').replaceAll('~0', '~');
      found = Object.hasOwn(object(found), key) ? object(found)[key] : undefined;
    }
    return found;
  }
}

function isObjectSchema(schema: Json): boolean {
  return schema['type'] === 'object' || schema['properties'] !== undefined;
}

/** The path before every path: of the description's server if that is on the same origin. */
function basePath(root: Json, address: string): string {
  const own = new URL(address.replace(/\/[^/]*\.json$/, ''));
  const named = text(object(list(root['servers'])[0])['url']);
  const base = named && URL.canParse(named, `${own.href}/`) ? new URL(named, `${own.href}/`) : own;
  return (base.origin === own.origin ? base : own).pathname.replace(/\/+$/, '');
}

/** A name that models take, not used yet. */
function toolName(wanted: string, used: Record<string, Operation>): string {
  const plain = wanted.replaceAll(/[^A-Za-z0-9_-]+/g, '_').replaceAll(/^_+|_+$/g, '') || 'tool';
  let name = plain.slice(0, 64);
  for (let number = 2; Object.hasOwn(used, name); number += 1) {
    name = `${plain.slice(0, 60)}_${number}`;
  }
  return name;
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
