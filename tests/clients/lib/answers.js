// The answers of one chat as one client put them together, and what was wrong with that.
//
// Deltas of an answer must come with seq 1, 2, 3 …: no gap, no double, no disorder. What was read
// (`join-chat`, GET) counts as seen up to there. In the end the text is the server's.
//
// A gap is what clients see of a delta that could not be published (Redis was away for longer than
// DELIVERY_DEADLINE_SECONDS): it is told, and mended by reading again, as the page does.

export class Answers {
  /** @param wrong (kind, details) => void: told each thing that must not be */
  constructor(wrong) {
    this.wrong = wrong;
    this.known = new Map(); // message id -> {seq, read, text, done, state}
  }

  done(id) {
    return Boolean(this.known.get(id)?.done);
  }

  /** Take one of `events`: 'ended' when it ended an answer, 'gap' when one before it is missing. */
  take(event) {
    const { type, data } = event.data;
    const id = event.message_id;
    const answer = this.known.get(id) ?? { seq: 0, read: 0, text: '', done: false };
    this.known.set(id, answer);
    if (type === 'message') return this.append(id, answer, event.seq, data.content);
    const ended =
      (type === 'chat:completion' && data.done) ||
      type === 'chat:message:error' ||
      type === 'chat:tasks:cancel';
    if (!ended) return undefined;
    answer.done = true;
    answer.state = type === 'chat:completion' ? data.state : type;
    // Whoever ends it for a dead replica tells the whole: of the last deltas nobody may know.
    if (data.state === 'interrupted' && data.content !== undefined) answer.text = data.content;
    return 'ended';
  }

  append(id, answer, seq, text) {
    if (seq === answer.seq + 1) {
      answer.seq = seq;
      answer.text += text;
    } else if (seq > answer.seq) {
      this.wrong('gaps', { id, had: answer.seq, got: seq });
      answer.seq = seq;
      return 'gap';
    } else if (seq > answer.read) {
      // What is not above `read` was read, and then came, too: both are right.
      this.wrong('doubles', { id, had: answer.seq, got: seq });
    }
    return undefined;
  }

  /** Take what was read: the chat, and the answers in flight as `join-chat` told them. */
  read(chat, streams) {
    for (const [id, message] of messages(chat)) {
      if (this.done(id) || message.done !== false) {
        const { state } = this.known.get(id) ?? {};
        this.known.set(id, { seq: Infinity, read: Infinity, text: message.content, done: true, state });
      }
    }
    for (const { message_id: id, seq, content } of streams) {
      this.known.set(id, { seq, read: seq, text: content, done: false });
    }
  }

  /** Compare with the chat as the server has it now. */
  compare(chat) {
    for (const [id, message] of messages(chat)) {
      const answer = this.known.get(id);
      const ours = answer?.text ?? '';
      if (ours === message.content) continue;
      this.wrong('wrongTexts', {
        id, state: answer?.state, done: message.done, ours: ours.length,
        theirs: message.content.length, prefix: message.content.startsWith(ours),
        lost: ours.startsWith(message.content),
      }); // prettier-ignore
    }
  }
}

function messages(chat) {
  const all = Object.entries(chat.chat.history.messages);
  return all.filter(([, message]) => message.role === 'assistant');
}
