/** The others' carets and selections in the text. Written for a policy without inline styles. */

import { Extension } from '@tiptap/core';
import { yCursorPlugin } from '@tiptap/y-tiptap';
import type { Awareness } from 'y-protocols/awareness';
import { colourOf } from '$lib/ui';

interface Writer {
  id?: string;
  name?: string;
}

/** An empty element: the name stands in an attribute, so that it is nobody's text. */
function caret({ id = '', name = '' }: Writer): HTMLElement {
  const element = document.createElement('span');
  element.className = 'caret';
  element.dataset['name'] = name;
  element.ariaHidden = 'true';
  element.style.setProperty('--writer', colourOf(id));
  return element;
}

function selection({ id = '' }: Writer): { class: string; style: string } {
  return { class: 'selected-by', style: `--writer: ${colourOf(id)}` };
}

export const Cursors = Extension.create<{ awareness: Awareness | null }>({
  name: 'cursors',

  addOptions() {
    return { awareness: null };
  },

  addProseMirrorPlugins() {
    const { awareness } = this.options;
    if (!awareness) return [];
    return [yCursorPlugin(awareness, { cursorBuilder: caret, selectionBuilder: selection })];
  },
});
