/**
 * Providers of closed notes that still have something to send: they live until it is sent.
 *
 * One document has at most one provider in a session: whoever opens it again takes that one.
 */

import type { DocumentProvider } from '$lib/realtime/document';
import type { Session } from '$state/session.svelte';

const finishing = new Map<string, { session: Session; provider: DocumentProvider }>();

function unfinished(provider: DocumentProvider): boolean {
  return provider.unacknowledged > 0 && !provider.readOnly && provider.status !== 'ended';
}

/** Close a provider as soon as it has nothing to send any more. */
export function finish(session: Session, provider: DocumentProvider): void {
  if (session.state.status === 'closed' || !unfinished(provider)) {
    void provider.close();
    return;
  }
  const id = provider.documentId;
  finishing.set(id, { session, provider });
  const off = provider.onchange(() => {
    if (finishing.get(id)?.provider !== provider) {
      off();
    } else if (!unfinished(provider)) {
      finishing.delete(id);
      off();
      void provider.close();
    }
  });
}

/** The one that still finishes, to go on with. */
export function takeUp(session: Session, documentId: string): DocumentProvider | null {
  const found = finishing.get(documentId);
  finishing.delete(documentId);
  return found?.session === session ? found.provider : null;
}
