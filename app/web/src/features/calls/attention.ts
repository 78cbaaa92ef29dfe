/** Calls the person back to a page that is hidden: its title flashes, and the browser notifies. */

import { router } from '$state/router.svelte';

const FLASH_MS = 1_000;

interface Asking {
  id: string;
  title: string;
  message: string;
  chatId: string;
}

class Attention {
  readonly #asking = new Map<string, Asking>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #title = ''; // the page's own, while ours is shown
  #shown = '';

  /** Somebody has to be asked; returns the end of it. */
  ask(asking: Asking): () => void {
    this.#asking.set(asking.id, asking);
    if (this.#asking.size === 1) {
      document.addEventListener('visibilitychange', this.#look);
      this.#look();
    }
    const notification = document.hidden ? notify(asking) : null;
    return () => {
      notification?.close();
      this.#asking.delete(asking.id);
      if (this.#asking.size > 0) return;
      document.removeEventListener('visibilitychange', this.#look);
      this.#rest();
    };
  }

  readonly #look = (): void => {
    if (document.hidden) this.#timer ??= setInterval(() => this.#flash(), FLASH_MS);
    else this.#rest();
  };

  #flash(): void {
    if (this.#shown !== '' && document.title === this.#shown) {
      this.#restore();
      return;
    }
    const [first] = this.#asking.values();
    this.#title = document.title;
    this.#shown = `❓ ${first?.title ?? ''}`;
    document.title = this.#shown;
  }

  #restore(): void {
    // If it is not ours any more, the page has changed it meanwhile.
    if (this.#shown !== '' && document.title === this.#shown) document.title = this.#title;
    this.#shown = '';
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#restore();
  }
}

function notify({ id, title, message, chatId }: Asking): Notification | null {
  if (typeof Notification === 'undefined' || Notification.permission !== 'granted') return null;
  try {
    const notification = new Notification(title, { body: message.slice(0, 300), tag: id });
    notification.onclick = () => {
      window.focus();
      if (!chatId.startsWith('local:')) router.go(`/c/${chatId}`);
      notification.close();
    };
    return notification;
  } catch {
    return null; // Android's Chrome knows notifications of service workers only
  }
}

export const attention = new Attention();
