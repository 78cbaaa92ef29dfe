/** What the person set up in this browser: theme, chosen model, own model and tool servers. */

import type { ToolSpec } from '$lib/realtime';

export type Theme = 'system' | 'light' | 'dark';

/** An OpenAI-compatible address of the user's own, asked by this page. */
export interface ModelServer {
  url: string;
  key: string;
  models: { id: string; name: string }[];
}

/** A server with an OpenAPI description whose operations are tools, called by this page. */
export interface ToolServer {
  url: string;
  name: string;
  key: string;
  enabled: boolean;
  specs: ToolSpec[];
  operations: Record<string, Operation>;
}

/** How a tool is called over HTTP. */
export interface Operation {
  method: string;
  path: string;
  /** Parameters by place; what is in none of them goes into the body. */
  inPath: string[];
  inQuery: string[];
  /** The parameter that is the body as a whole, when the body is no object. */
  whole?: string;
}

/** What belongs to a person; on a shared machine the next one has their own. */
interface Personal {
  model: string | null;
  modelServers: ModelServer[];
  toolServers: ToolServer[];
}

const THEME_KEY = 'heliograph:theme';
const keyOf = (userId: string) => `heliograph:preferences:${userId}`;

function readTheme(): Theme {
  const stored = localStorage.getItem(THEME_KEY);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

function readPersonal(userId: string | null): Personal {
  let stored: Partial<Personal> = {};
  try {
    const text = userId === null ? null : localStorage.getItem(keyOf(userId));
    stored = (JSON.parse(text ?? '{}') as Partial<Personal> | null) ?? {};
  } catch {
    // Written by something else; the next change puts it right.
  }
  return {
    model: typeof stored.model === 'string' ? stored.model : null,
    modelServers: Array.isArray(stored.modelServers) ? stored.modelServers : [],
    toolServers: Array.isArray(stored.toolServers) ? stored.toolServers : [],
  };
}

class Preferences {
  theme: Theme = $state('system');
  /** Id of the model chosen last. */
  model: string | null = $state(null);
  modelServers: ModelServer[] = $state.raw([]);
  toolServers: ToolServer[] = $state.raw([]);
  #owner: string | null = null;

  /** Take up what this browser has kept, and keep what changes. Once, when the page starts. */
  start(): void {
    this.theme = readTheme();
    $effect.root(() => {
      $effect(() => {
        document.documentElement.dataset['theme'] = this.theme;
        localStorage.setItem(THEME_KEY, this.theme);
      });
      $effect(() => {
        const { model, modelServers, toolServers } = this;
        if (this.#owner === null) return;
        localStorage.setItem(
          keyOf(this.#owner),
          JSON.stringify({ model, modelServers, toolServers } satisfies Personal),
        );
      });
    });
    // What another tab sets is so here, too.
    window.addEventListener('storage', ({ key }) => {
      if (key === THEME_KEY) this.theme = readTheme();
      if (this.#owner !== null && key === keyOf(this.#owner)) this.belongTo(this.#owner);
    });
  }

  /** Whose preferences these are from now on; nobody's before somebody is signed in. */
  belongTo(userId: string | null): void {
    this.#owner = userId;
    Object.assign(this, readPersonal(userId));
  }
}

export const preferences = new Preferences();
