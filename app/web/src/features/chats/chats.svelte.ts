/** The person's chats as the side bar shows them: lives as long as the session. */

import { ChatDirectory, type ChatEntry, type ChatEvent } from '$lib/realtime';
import type { Session } from '$state/session.svelte';
import { router } from '$state/router.svelte';
import { toasts } from '$state/toasts.svelte';

class Chats {
  entries: ChatEntry[] = $state.raw([]);
  more = $state(false);
  loading = $state(true);
  unread = $derived(this.entries.filter((entry) => this.#directory?.isUnread(entry)).length);
  #directory: ChatDirectory | null = null;

  /** Follow the chats of a session; returns the end of it. */
  follow(session: Session): () => void {
    const directory = new ChatDirectory(session.connection, session.api);
    this.#directory = directory;
    this.entries = [];
    this.loading = true;
    directory.onchange(() => {
      this.entries = directory.entries;
      this.more = directory.more;
    });
    const off = session.connection.onchat((event) => this.#notify(event));
    void this.#try('The chats could not be read', directory.refresh()).then(
      () => (this.loading = false),
    );
    return () => {
      off();
      directory.close();
      this.#directory = null;
      this.entries = [];
    };
  }

  isUnread = (entry: ChatEntry): boolean => this.#directory?.isUnread(entry) ?? false;

  look(id: string | null): void {
    this.#directory?.look(id);
  }

  async search(query: string): Promise<void> {
    await this.#try('The search failed', this.#directory?.search(query));
  }

  async loadMore(): Promise<void> {
    await this.#try('Older chats could not be read', this.#directory?.loadMore());
  }

  async rename(id: string, title: string): Promise<void> {
    await this.#try('The chat was not renamed', this.#directory?.rename(id, title));
  }

  async remove(id: string): Promise<void> {
    await this.#try('The chat was not deleted', this.#directory?.remove(id));
  }

  async #try(failure: string, work: Promise<void> | undefined): Promise<void> {
    try {
      await work;
    } catch (error) {
      toasts.error(failure, error);
    }
  }

  /** What happens in chats that nobody is looking at. */
  #notify({ chat_id: id, data }: ChatEvent): void {
    const { route } = router;
    const looking = route.view === 'chat' && route.id === id && !document.hidden;
    if (data.type === 'notification') {
      const kind =
        data.data.type === 'error' ? 'error' : data.data.type === 'success' ? 'success' : 'info';
      toasts.show(kind, data.data.content, '', looking ? null : `/c/${id}`);
    } else if (data.type === 'chat:completion' && data.data.done && !looking) {
      const title = this.entries.find((entry) => entry.id === id)?.title ?? 'A chat';
      toasts.show(
        'info',
        title,
        data.data.content?.slice(0, 200) ?? 'The answer is there.',
        `/c/${id}`,
      );
    }
  }
}

export const chats = new Chats();
