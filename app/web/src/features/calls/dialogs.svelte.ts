/**
 * Questions of tools to the person, one after another: `confirmation` and `input`.
 *
 * Each is answered once. One that nobody waits for any more goes away, and a message says why.
 */

import { CallOver, type Call } from '$lib/realtime';
import { toasts } from '$state/toasts.svelte';
import { attention } from './attention';

export interface Question {
  id: string;
  kind: 'confirmation' | 'input';
  title: string;
  message: string;
  placeholder: string;
  value: string;
  secret: boolean;
  chatId: string;
  /** In ms since 1970. */
  deadline: number;
  answer: (answer: boolean | string) => void;
}

class Dialogs {
  /** The first one is shown. */
  queue: Question[] = $state.raw([]);

  confirm = (call: Call<'confirmation'>): Promise<boolean | string> =>
    this.#ask('confirmation', call);
  ask = (call: Call<'input'>): Promise<boolean | string> => this.#ask('input', call);

  #ask(
    kind: Question['kind'],
    call: Call<'confirmation'> | Call<'input'>,
  ): Promise<boolean | string> {
    const { placeholder, value, type } = call.data as Call<'input'>['data'];
    const { promise, resolve, reject } = deferred<boolean | string>();
    const question: Question = {
      id: call.id,
      kind,
      title: textOf(call.data.title) || (kind === 'input' ? 'A question' : 'Please confirm'),
      message: textOf(call.data.message),
      placeholder: textOf(placeholder),
      value: textOf(value),
      secret: type === 'password',
      chatId: call.chatId,
      deadline: call.deadline,
      answer: resolve,
    };
    const over = () => {
      const { reason } = call.signal as { reason: unknown };
      if (this.queue.some((each) => each.id === call.id)) {
        const why = reason instanceof CallOver ? WHY[reason.why] : 'Nobody waits for it any more.';
        toasts.show('info', `“${question.title}” was closed`, why);
      }
      reject(reason);
    };
    call.signal.addEventListener('abort', over);
    const unnotice = attention.ask(question);
    this.queue = [...this.queue, question];
    return promise.finally(() => {
      call.signal.removeEventListener('abort', over);
      this.queue = this.queue.filter((each) => each !== question);
      unnotice();
    });
  }
}

const WHY = {
  deadline: 'The time for an answer was over.',
  'answer-ended': 'The answer that asked for it has ended.',
  'session-ended': 'The connection that asked for it is gone.',
};

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function deferred<T>() {
  let resolve: (value: T) => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

export const dialogs = new Dialogs();
