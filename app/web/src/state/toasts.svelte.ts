/** Short messages in a corner: errors, and what happened elsewhere. */

export interface Toast {
  id: number;
  kind: 'info' | 'success' | 'error';
  title: string;
  text: string;
  /** Where a click on it leads. */
  href: string | null;
}

const SHOWN_MS = { info: 6_000, success: 4_000, error: 9_000 };
const MOST = 4;

class Toasts {
  list: Toast[] = $state([]);
  #last = 0;

  show(kind: Toast['kind'], title: string, text = '', href: string | null = null): void {
    const same = this.list.find((each) => each.title === title && each.text === text);
    if (same) this.dismiss(same.id);
    const id = ++this.#last;
    this.list = [...this.list.slice(-(MOST - 1)), { id, kind, title, text, href }];
    setTimeout(() => this.dismiss(id), SHOWN_MS[kind]);
  }

  /** Show what went wrong, in the words of whoever noticed it. */
  error(what: string, error: unknown): void {
    this.show('error', what, error instanceof Error ? error.message : String(error));
  }

  dismiss(id: number): void {
    this.list = this.list.filter((each) => each.id !== id);
  }
}

export const toasts = new Toasts();
