/** The others' carets and selections in the text. Written for a policy without inline styles. */

import { Extension } from '@tiptap/core';
import { yCursorPlugin } from '@tiptap/y-tiptap';
import type { Awareness } from 'y-protocols/awareness';
import { colourOf } from '$lib/ui';

interface Writer {
  id?: string;
  name?: string;
}

const WORD_JOINER = '\u2060'; // keeps the caret at its word when lines break

function caret({ id = '', name = '' }: Writer): HTMLElement {
  const element = document.createElement('span');
  element.className = 'caret';
  element.style.setProperty('--writer', colourOf(id));
  const label = document.createElement('span');
  label.className = 'caret-name';
  label.textContent = name;
  element.append(WORD_JOINER, label, WORD_JOINER);
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
