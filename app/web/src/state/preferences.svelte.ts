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

interface Stored {
  theme: Theme;
  model: string | null;
  modelServers: ModelServer[];
  toolServers: ToolServer[];
}

const KEY = 'heliograph:preferences';
const DEFAULTS: Stored = { theme: 'system', model: null, modelServers: [], toolServers: [] };

function load(): Stored {
  try {
    return { ...DEFAULTS, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Stored>) };
  } catch {
    return DEFAULTS; // written by something else; the next change puts it right
  }
}

class Preferences {
  theme: Theme = $state('system');
  /** Id of the model chosen last. */
  model: string | null = $state(null);
  modelServers: ModelServer[] = $state.raw([]);
  toolServers: ToolServer[] = $state.raw([]);

  constructor() {
    Object.assign(this, load());
    $effect.root(() => {
      $effect(() => {
        const { theme, model, modelServers, toolServers } = this;
        localStorage.setItem(KEY, JSON.stringify({ theme, model, modelServers, toolServers }));
      });
      $effect(() => {
        document.documentElement.dataset['theme'] = this.theme;
      });
    });
  }
}

export const preferences = new Preferences();
