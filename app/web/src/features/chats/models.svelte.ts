/** The models that can answer: the server's, and those of the person's own addresses. */

import { directModels, enabledToolServers, modelItem } from '$features/calls';
import type { AskOptions, Model } from '$lib/realtime';
import { preferences } from '$state/preferences.svelte';
import type { Session } from '$state/session.svelte';
import { toasts } from '$state/toasts.svelte';

class Models {
  #offered: Model[] = $state.raw([]);

  list: Model[] = $derived([...this.#offered, ...directModels()]);

  /** The chosen one, if it is still there; else the first. */
  chosen: Model | null = $derived(
    this.list.find((model) => model.id === preferences.model) ?? this.list[0] ?? null,
  );

  async load(session: Session): Promise<void> {
    try {
      this.#offered = await session.api.models();
    } catch (error) {
      toasts.error('The models could not be read', error);
    }
  }

  choose(id: string): void {
    preferences.model = id;
  }

  nameOf(id: string): string {
    return this.list.find((model) => model.id === id)?.name ?? id;
  }

  /** What an answer is asked with. */
  options(): AskOptions {
    const model = this.chosen?.id ?? '';
    const item = modelItem(model);
    const servers = enabledToolServers();
    return {
      model,
      ...(item ? { model_item: item } : {}),
      ...(servers.length > 0 ? { tool_servers: servers } : {}),
    };
  }
}

export const models = new Models();
