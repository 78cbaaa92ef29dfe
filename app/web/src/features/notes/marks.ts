/** What the tool bar offers, and what of it holds at the caret. */

import type { Component } from 'svelte';
import type { Editor } from '@tiptap/core';
import Bold from '@lucide/svelte/icons/bold';
import Code from '@lucide/svelte/icons/code';
import Italic from '@lucide/svelte/icons/italic';
import List from '@lucide/svelte/icons/list';
import ListOrdered from '@lucide/svelte/icons/list-ordered';
import SquareCode from '@lucide/svelte/icons/square-code';
import Strikethrough from '@lucide/svelte/icons/strikethrough';
import TextQuote from '@lucide/svelte/icons/text-quote';

export interface Tool {
  name: string;
  label: string;
  /** As TipTap binds them; `Mod` is Ctrl or Cmd. */
  keys: string;
  icon: Component<{ size?: number | string }>;
  run: (editor: Editor) => boolean;
}

export const TOOLS: readonly (readonly Tool[])[] = [
  [
    {
      name: 'bold',
      label: 'Bold',
      keys: 'Mod+B',
      icon: Bold,
      run: (editor) => editor.chain().focus().toggleBold().run(),
    },
    {
      name: 'italic',
      label: 'Italic',
      keys: 'Mod+I',
      icon: Italic,
      run: (editor) => editor.chain().focus().toggleItalic().run(),
    },
    {
      name: 'strike',
      label: 'Strikethrough',
      keys: 'Mod+Shift+S',
      icon: Strikethrough,
      run: (editor) => editor.chain().focus().toggleStrike().run(),
    },
    {
      name: 'code',
      label: 'Code',
      keys: 'Mod+E',
      icon: Code,
      run: (editor) => editor.chain().focus().toggleCode().run(),
    },
  ],
  [
    {
      name: 'bulletList',
      label: 'Bullet list',
      keys: 'Mod+Shift+8',
      icon: List,
      run: (editor) => editor.chain().focus().toggleBulletList().run(),
    },
    {
      name: 'orderedList',
      label: 'Numbered list',
      keys: 'Mod+Shift+7',
      icon: ListOrdered,
      run: (editor) => editor.chain().focus().toggleOrderedList().run(),
    },
    {
      name: 'blockquote',
      label: 'Quote',
      keys: 'Mod+Shift+B',
      icon: TextQuote,
      run: (editor) => editor.chain().focus().toggleBlockquote().run(),
    },
    {
      name: 'codeBlock',
      label: 'Code block',
      keys: 'Mod+Alt+C',
      icon: SquareCode,
      run: (editor) => editor.chain().focus().toggleCodeBlock().run(),
    },
  ],
];

/** What holds at the caret. */
export interface Situation {
  active: ReadonlySet<string>;
  /** 0: no heading. */
  heading: number;
  link: string | null;
  canUndo: boolean;
  canRedo: boolean;
}

export function situationOf(editor: Editor): Situation {
  const names = TOOLS.flat().map((tool) => tool.name);
  return {
    active: new Set(names.filter((name) => editor.isActive(name))),
    heading: Number(editor.getAttributes('heading')['level'] ?? 0),
    link: (editor.getAttributes('link')['href'] as string | undefined) ?? null,
    canUndo: editor.can().undo(),
    canRedo: editor.can().redo(),
  };
}

const mac = /mac|iphone|ipad/i.test(navigator.userAgent);

/** Keys as they are printed on this machine's keyboard. */
export function keysHere(keys: string): string {
  return mac
    ? keys.replace('Mod', '⌘').replace('Shift', '⇧').replace('Alt', '⌥').replaceAll('+', '')
    : keys.replace('Mod', 'Ctrl');
}
