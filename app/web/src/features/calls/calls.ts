/** Who answers which call of the server. */

import type { Session } from '$state/session.svelte';
import { answerCompletion } from './directCompletion';
import { dialogs } from './dialogs.svelte';
import { answerPython } from './executions.svelte';
import { callTool } from './toolServers';

/** Answer the calls of a session, until it is closed. */
export function answerCalls(session: Session): void {
  const { calls, connection, api } = session;
  calls.handle('confirmation', dialogs.confirm);
  calls.handle('input', dialogs.ask);
  calls.handle('execute:python', (call) => answerPython(call, api));
  calls.handle('execute:tool', callTool);
  calls.handle('request:chat:completion', (call) => answerCompletion(call, connection));
}
