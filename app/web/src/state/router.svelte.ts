/** Where we are: the address bar as state, and back. */

export type Route =
  | { view: 'home' }
  | { view: 'chat'; id: string }
  | { view: 'channel'; id: string; thread: string | null }
  | { view: 'notes' }
  | { view: 'note'; id: string }
  | { view: 'channels' }
  | { view: 'settings' }
  | { view: 'unknown' };

/** The section of the side bar a route belongs to. */
export type Section = 'chats' | 'channels' | 'notes';

function parse(path: string): Route {
  const [first = '', second = '', third = '', fourth] = path.split('/').slice(1).map(decode);
  if (first === '') return { view: 'home' };
  if (first === 'c' && second) return { view: 'chat', id: second };
  if (first === 'channels') {
    if (!second) return { view: 'channels' };
    return { view: 'channel', id: second, thread: third === 'thread' ? (fourth ?? null) : null };
  }
  if (first === 'notes') return second ? { view: 'note', id: second } : { view: 'notes' };
  if (first === 'settings') return { view: 'settings' };
  return { view: 'unknown' };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}

class Router {
  #path = $state(location.pathname);
  readonly route: Route = $derived(parse(this.#path));
  readonly section: Section = $derived(
    this.route.view.startsWith('channel')
      ? 'channels'
      : this.route.view.startsWith('note')
        ? 'notes'
        : 'chats',
  );

  constructor() {
    window.addEventListener('popstate', () => (this.#path = location.pathname));
    document.addEventListener('click', (event) => this.#follow(event));
  }

  /** Go to a path of ours. */
  go(path: string, { replace = false } = {}): void {
    if (path === location.pathname) return;
    if (replace) history.replaceState(null, '', path);
    else history.pushState(null, '', path);
    this.#path = path;
  }

  /** A plain click on a link of ours changes the view instead of loading the page. */
  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const target = event.target instanceof Element ? event.target.closest('a') : null;
    if (!target || target.origin !== location.origin || target.target || target.download) return;
    if (!target.hasAttribute('data-link')) return;
    event.preventDefault();
    this.go(target.pathname);
  }
}

export const router = new Router();
