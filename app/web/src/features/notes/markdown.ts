/** A note as Markdown: what the server makes of it, once it has everything. */

import type { Session } from '$state/session.svelte';
import type { OpenNote } from './open.svelte';
import { titleOf } from './notes.svelte';

const WAIT_MS = 5_000;

/**
 * The whole note as Markdown.
 *
 * @throws {Error} what was typed here has not reached the server
 */
export async function markdownOf(session: Session, note: OpenNote): Promise<string> {
  await acknowledged(note);
  return (await session.api.note(note.id)).data.content.md;
}

function acknowledged(note: OpenNote): Promise<void> {
  const { provider } = note;
  return new Promise((resolve, reject) => {
    const done = () => !provider || provider.unacknowledged === 0 || provider.readOnly;
    if (done()) {
      resolve();
      return;
    }
    const stop = () => {
      clearTimeout(timer);
      off?.();
    };
    const timer = setTimeout(() => {
      stop();
      reject(new Error('Not everything is saved yet. Try again when it is.'));
    }, WAIT_MS);
    const off = provider?.onchange(() => {
      if (!done()) return;
      stop();
      resolve();
    });
  });
}

/** Let the browser save a text under a note's title. */
export function download(title: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/markdown' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `${fileName(titleOf({ title }))}.md`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Without what file systems do not take. */
function fileName(title: string): string {
  return (
    title
      // eslint-disable-next-line no-control-regex
      .replace(/[\u0000-\u001f\u007f<>:"/\\|?*]+/g, ' ')
      .replace(/\s+/g, ' ')
      .replace(/^[. ]+|[. ]+$/g, '')
      .slice(0, 100) || 'note'
  );
}
