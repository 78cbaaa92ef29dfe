/** The person's channels as the side bar shows them: lives as long as the session. */

import { ChannelDirectory, type Channel, type ChannelNews } from '$lib/realtime';
import { router } from '$state/router.svelte';
import type { Session } from '$state/session.svelte';
import { toasts } from '$state/toasts.svelte';

const SHOWN = 200; // characters of a message in a toast

class Channels {
  /** By name. */
  entries: Channel[] = $state.raw([]);
  loading = $state(true);
  /** Messages that nobody has read here yet, in all channels. */
  unread = $derived(this.entries.reduce((sum, channel) => sum + channel.unread_count, 0));
  #directory: ChannelDirectory | null = null;
  #drafts = new Map<string, string>();

  /** Follow the channels of a session; returns the end of it. */
  follow(session: Session): () => void {
    const directory = new ChannelDirectory(session.connection, session.api, session.user);
    this.#directory = directory;
    this.entries = [];
    this.loading = true;
    directory.onchange(() => {
      this.entries = directory.entries.toSorted((one, other) => one.name.localeCompare(other.name));
      this.loading = false;
    });
    directory.onnews((news) => announce(news));
    void directory.refresh();
    return () => {
      directory.close();
      this.#directory = null;
      this.#drafts.clear();
      this.entries = [];
    };
  }

  /** Which channel is on the screen; null: none. */
  look(id: string | null): void {
    this.#directory?.look(id);
    if (id === null) return;
    // What was told of it is on the screen now.
    const place = `/channels/${id}`;
    for (const { id: toast, href } of toasts.list) if (href === place) toasts.dismiss(toast);
  }

  /** What was being written at a place when it was left, to be taken up again. */
  draft(place: string): string {
    return this.#drafts.get(place) ?? '';
  }

  keepDraft(place: string, text: string): void {
    if (text.trim()) this.#drafts.set(place, text);
    else this.#drafts.delete(place);
  }
}

function announce({ channel, message, reply }: ChannelNews): void {
  const title = `#${channel.name}`;
  const says = reply ? `${message.user.name} replied` : message.user.name;
  const text = `${says}: ${message.content.slice(0, SHOWN)}`;
  const place = `/channels/${channel.id}`;
  const path = message.parent_id ? `${place}/thread/${message.parent_id}` : place;
  toasts.show('info', title, text, path);
  if (!document.hidden || !('Notification' in window)) return;
  if (Notification.permission !== 'granted') return;
  try {
    const notification = new Notification(title, { body: text, tag: channel.id });
    notification.onclick = () => {
      window.focus();
      router.go(path);
      notification.close();
    };
  } catch {
    // Chrome on Android has only those of service workers; the toast is there.
  }
}

export const channels = new Channels();
