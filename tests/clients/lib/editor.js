// Somebody who edits a note at random, but the same way for the same seed.

import * as Y from 'yjs';

/** Numbers from 0 up to 1, always the same ones for a seed (mulberry32). */
export function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const WORDS = ['alpha', 'Zug', 'naïve', '東京', '👩‍🚀', 'a*b_c', '<tag>', 'über', '&amp;', 'q', '123', 'two words'];
const MARKS = [
  { bold: {} }, { italic: {} }, { strike: {} }, { code: {} }, { underline: {} },
  { link: { href: 'https://example.org/?a=1&b=2', target: '_blank', rel: 'noopener', class: null, title: null } },
];
const MOST_BLOCKS = 40;

export class RandomEditor {
  /**
   * @param {Y.Doc} doc
   * @param {() => number} random
   */
  constructor(doc, random) {
    this.doc = doc;
    this.random = random;
    this.fragment = doc.getXmlFragment('prosemirror');
    this.done = {}; // how often each kind of edit was made
  }

  below(limit) {
    return Math.floor(this.random() * limit);
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  text() {
    return Array.from({ length: 1 + this.below(3) }, () => this.pick(WORDS)).join(' ');
  }

  /** Texts anywhere in the document, and whether they may be formatted. */
  texts() {
    const found = [];
    const walk = (parent) => {
      for (const child of parent.toArray()) {
        if (child instanceof Y.XmlText) {
          found.push({ text: child, plain: parent.nodeName === 'codeBlock' });
        } else {
          walk(child);
        }
      }
    };
    walk(this.fragment);
    return found;
  }

  block(name, attributes = {}) {
    const element = new Y.XmlElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  textBlock(name, attributes) {
    const element = this.block(name, attributes);
    element.insert(0, [new Y.XmlText(this.text())]);
    return element;
  }

  item() {
    const item = this.block('listItem');
    item.insert(0, [this.textBlock('paragraph')]);
    return item;
  }

  newBlock() {
    const wrap = (name, children, attributes) => {
      const element = this.block(name, attributes);
      element.insert(0, children);
      return element;
    };
    return this.pick([
      () => this.textBlock('paragraph'),
      () => this.textBlock('paragraph'),
      () => this.textBlock('heading', { level: 1 + this.below(6) }),
      () => this.textBlock('codeBlock', { language: 'js' }),
      () => wrap('blockquote', [this.textBlock('paragraph')]),
      () => wrap('bulletList', [this.item(), this.item()]),
      () => wrap('orderedList', [this.item()], { start: 1 + this.below(9), type: null }),
      () => this.block('horizontalRule'),
    ])();
  }

  /** One edit, as one transaction. */
  edit() {
    const kinds = {
      insertText: 5, deleteText: 3, format: 4, unformat: 1, addBlock: 3, removeBlock: 2, addItem: 2, changeHeading: 1,
    };
    const choices = Object.entries(kinds).flatMap(([name, weight]) => Array(weight).fill(name));
    let kind = this.pick(choices);
    if (this.fragment.length > MOST_BLOCKS) kind = 'removeBlock';
    this.doc.transact(() => {
      if (!this[kind]()) {
        kind = 'addBlock';
        this.addBlock();
      }
    });
    this.done[kind] = (this.done[kind] ?? 0) + 1;
  }

  /** A place in a text, never inside a surrogate pair: no caret gets there. */
  place(text) {
    const plain = text.toDelta().map((part) => part.insert).join('');
    const index = this.below(plain.length + 1);
    return plain.codePointAt(index - 1) > 0xffff ? index + 1 : index;
  }

  /** Index and length of a part of a text. */
  range(text) {
    const [from, to] = [this.place(text), this.place(text)].sort((a, b) => a - b);
    return [from, to - from];
  }

  insertText() {
    const texts = this.texts();
    if (texts.length === 0) return false;
    const { text } = this.pick(texts);
    text.insert(this.place(text), this.text());
    return true;
  }

  deleteText() {
    const texts = this.texts().filter(({ text }) => text.length > 0);
    if (texts.length === 0) return false;
    const { text } = this.pick(texts);
    const [index, length] = this.range(text);
    text.delete(index, length);
    return length > 0;
  }

  format(mark = this.pick(MARKS)) {
    const texts = this.texts().filter(({ text, plain }) => !plain && text.length > 0);
    if (texts.length === 0) return false;
    const { text } = this.pick(texts);
    const [index, length] = this.range(text);
    text.format(index, length, mark);
    return length > 0;
  }

  unformat() {
    const [name] = Object.keys(this.pick(MARKS));
    return this.format({ [name]: null });
  }

  addBlock() {
    this.fragment.insert(this.below(this.fragment.length + 1), [this.newBlock()]);
    return true;
  }

  removeBlock() {
    if (this.fragment.length < 3) return false;
    this.fragment.delete(this.below(this.fragment.length), 1);
    return true;
  }

  addItem() {
    const lists = this.fragment.toArray().filter((each) => /List$/.test(each.nodeName));
    if (lists.length === 0) return false;
    const list = this.pick(lists);
    list.insert(this.below(list.length + 1), [this.item()]);
    return true;
  }

  changeHeading() {
    const headings = this.fragment.toArray().filter((each) => each.nodeName === 'heading');
    if (headings.length === 0) return false;
    this.pick(headings).setAttribute('level', 1 + this.below(6));
    return true;
  }
}
