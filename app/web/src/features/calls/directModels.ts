/** Models of the person's own: OpenAI-compatible addresses that this page asks itself. */

import type { CompletionRequest } from '$lib/realtime';
import { preferences, type ModelServer } from '$state/preferences.svelte';
import { getJson, hostOf, readAddress } from './foreign';

/** A model for the picker. `id` goes as `model` into the completion request. */
export interface DirectModel {
  id: string;
  name: string;
  /** The address of its server. */
  url: string;
  /** What its server calls it. */
  model: string;
}

const MOST_MODELS = 500;
const MOST_ID = 200; // of a completion request's `model`

/**
 * Read which models an address has.
 *
 * @throws {Error} a sentence
 */
export async function readModelServer(typed: string, key: string): Promise<ModelServer> {
  const url = readAddress(typed);
  const document = await getJson(`${url}/models`, key);
  const data = (document as { data?: unknown } | null)?.data ?? document;
  const models = (Array.isArray(data) ? data : []).slice(0, MOST_MODELS).flatMap((each) => {
    const { id, name } = (each ?? {}) as { id?: unknown; name?: unknown };
    if (typeof id !== 'string' || id === '') return [];
    return [{ id, name: typeof name === 'string' && name ? name : id }];
  });
  if (models.length === 0) throw new Error(`${hostOf(url)} names no models.`);
  return { url, key, models };
}

/** The models of all configured addresses; an id here is no other one's, nor a server's model's. */
export function directModels(): DirectModel[] {
  const used = new Set<string>();
  return preferences.modelServers.flatMap(({ url, models }) =>
    models.map(({ id: model, name }) => {
      const place = `${model}@${hostOf(url)}`.slice(0, MOST_ID - 4);
      let id = place;
      for (let number = 2; used.has(id); number += 1) id = `${place}#${number}`;
      used.add(id);
      return { id, name, url, model };
    }),
  );
}

/** `model_item` of a completion request, or undefined when the id is not one of these. No key. */
export function modelItem(id: string): NonNullable<CompletionRequest['model_item']> | undefined {
  const found = directModels().find((each) => each.id === id);
  return found && { direct: true, ...found };
}
