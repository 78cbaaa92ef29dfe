/** Names to identifiers, which is what grants hold. */

import type { Session } from '$state/session.svelte';

/** The names of people by their ids. They come a little later, and those of very many people do
 * not all come: whoever learns of one adds it. */
export function namesOfPeople({ api }: Session): Record<string, string> {
  const names: Record<string, string> = $state({});
  void api.searchPeople('', { limit: 200 }).then(
    ({ users }) => {
      for (const person of users) names[person.id] = person.name;
    },
    () => undefined, // there is a word for somebody
  );
  return names;
}
