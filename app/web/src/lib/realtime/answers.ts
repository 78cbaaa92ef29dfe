/** What each event does to the message it belongs to. No state, no connection: one function. */

import type { ChatData, Message, MessageState } from './contract';

/**
 * `gap`: deltas are missing before this one, nothing was changed. `ignored`: known already, or
 * nothing that concerns a message.
 */
export type Outcome = 'applied' | 'ended' | 'gap' | 'ignored';

/** Change `message` as the event says; `seq` is the event's number among its deltas, if it has one. */
export function applyToMessage(message: Message, event: ChatData, seq?: number): Outcome {
  switch (event.type) {
    case 'message':
    case 'chat:message:delta':
      if (seq !== undefined) {
        const known = message.seq ?? 0;
        if (seq <= known) return 'ignored';
        if (seq > known + 1) return 'gap';
        message.seq = seq;
      }
      message.content += event.data.content;
      return 'applied';
    case 'replace':
    case 'chat:message':
      if (seq !== undefined) {
        if (seq <= (message.seq ?? 0)) return 'ignored';
        message.seq = seq;
      }
      message.content = event.data.content;
      return 'applied';
    case 'status':
      message.statusHistory = [...(message.statusHistory ?? []), event.data];
      return 'applied';
    case 'files':
    case 'chat:message:files':
      message.files = [...(message.files ?? []), ...event.data.files];
      return 'applied';
    case 'embeds':
    case 'chat:message:embeds':
      message.embeds = [
        ...(event.data.replace ? [] : (message.embeds ?? [])),
        ...event.data.embeds,
      ];
      return 'applied';
    case 'source':
    case 'citation':
      message.sources = [...(message.sources ?? []), event.data];
      return 'applied';
    case 'chat:message:follow_ups':
      message.followUps = event.data.follow_ups;
      return 'applied';
    case 'chat:completion':
      if (!event.data.done) return 'ignored';
      if (event.data.content !== undefined) message.content = event.data.content;
      if (event.data.usage) message.usage = event.data.usage;
      return end(message, event.data.state ?? 'finished');
    case 'chat:tasks:cancel':
      return end(message, 'stopped');
    case 'chat:message:error':
      message.error = event.data.error;
      return end(message, 'error');
    default:
      return 'ignored';
  }
}

function end(message: Message, state: MessageState): Outcome {
  message.state = state;
  message.done = true;
  return 'ended';
}

/**
 * Whether an event that came while the message was being read is in what was read already.
 * Deltas say it by their number; these have none.
 */
export function isIncluded(message: Message, event: ChatData): boolean {
  const has = (list: unknown[] | undefined, item: unknown): boolean => {
    const wanted = JSON.stringify(item);
    return (list ?? []).some((each) => JSON.stringify(each) === wanted);
  };
  switch (event.type) {
    case 'status':
      return has(message.statusHistory, event.data);
    case 'source':
    case 'citation':
      return has(message.sources, event.data);
    case 'files':
    case 'chat:message:files':
      return event.data.files.every((file) => has(message.files, file));
    case 'embeds':
    case 'chat:message:embeds':
      return event.data.embeds.every((embed) => has(message.embeds, embed));
    default:
      return false;
  }
}
