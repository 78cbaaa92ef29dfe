/**
 * Markdown as a list of blocks, cheap to keep up with while text is being appended.
 *
 * All blocks but the last two are settled: what comes later cannot change them, so they are neither
 * read nor rendered again. (Two, since what begins like a paragraph, `2`, may turn out to go on with
 * the list before it, `2.`.) Only the text from there on is read anew.
 * When the text is not a continuation of what was there before, everything is.
 */

import { Lexer, Marked, Parser, type Token, type Tokens } from 'marked';
import { plainHtml, renderer } from './renderer';

export type Block =
  /** HTML as the Markdown library made it: not sanitised yet. */
  | { kind: 'html'; html: string }
  /** A fenced or indented code block; `open` while its end has not come. */
  | { kind: 'code'; language: string; code: string; open: boolean };

const OPEN = 2;

// Beyond 40 levels of quotes, or 80 columns before a list's item.
const DEEP_QUOTE = /^((?:[ \t]*>){40})(?:[ \t]*>)+/gm;
const DEEP_ITEM = /^([ \t]{80})[ \t]+(?=(?:[-*+]|\d{1,9}[.)])[ \t])/gm;

const { defaults: options } = new Marked({ gfm: true, breaks: true, renderer });
const { defaults: plainOptions } = new Marked({ gfm: true, breaks: true, renderer: plainHtml });

export class BlockList {
  readonly #options: typeof options;
  #settled: Block[] = [];
  #settledText = '';
  #links: Lexer['tokens']['links'] = Object.create(null) as Lexer['tokens']['links'];

  /** @param html whether HTML in the text is shown as such, or as the text it is */
  constructor(html = true) {
    this.#options = html ? options : plainOptions;
  }

  /**
   * The blocks of `text`. Settled ones are the same objects as before.
   *
   * @param live whether more text may follow
   */
  update(text: string, live: boolean): Block[] {
    try {
      return this.#read(tamed(text), live);
    } catch {
      // The library gave up (nested too deeply for its recursion): as text it can be read, too.
      this.#reset();
      return [{ kind: 'code', language: '', code: text, open: live }];
    }
  }

  #read(source: string, live: boolean): Block[] {
    if (!source.startsWith(this.#settledText)) this.#reset();
    const rest = source.slice(this.#settledText.length);
    const lexer = new Lexer(this.#options);
    Object.assign(lexer.tokens.links, this.#links);
    const tokens = lexer.lex(rest);
    this.#links = lexer.tokens.links;
    const blocks = tokens.filter((token) => token.type !== 'space');
    const firstOpen = blocks.at(-OPEN) ?? blocks[0];
    const settled = firstOpen ? tokens.slice(0, tokens.indexOf(firstOpen)) : [];
    const taken = settled.map((token) => token.raw).join('');
    if (!rest.startsWith(taken)) return this.#whole(source, live);
    this.#settledText += taken;
    for (const token of settled) {
      if (token.type !== 'space') this.#settled.push(detached(this.#block(token, false)));
    }
    return [...this.#settled, ...blocks.slice(-OPEN).map((token) => this.#block(token, live))];
  }

  /** The library changed the text it read, so its lengths say nothing: settle nothing. */
  #whole(source: string, live: boolean): Block[] {
    this.#reset();
    const tokens = new Lexer(this.#options).lex(source);
    return tokens
      .filter((token) => token.type !== 'space')
      .map((token) => this.#block(token, live));
  }

  #block(token: Token, live: boolean): Block {
    return toBlock(token, live, this.#options);
  }

  #reset(): void {
    this.#settled = [];
    this.#settledText = '';
    this.#links = Object.create(null) as Lexer['tokens']['links'];
  }
}

/** Without what no reader needs and the library takes for ever to read: absurdly deep nesting. */
function tamed(text: string): string {
  return (text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text)
    .replace(DEEP_QUOTE, '$1')
    .replace(DEEP_ITEM, '$1');
}

/**
 * A copy whose strings are its own. A part of a string keeps the whole alive, and each block would
 * keep the message as it was when the block ended.
 */
function detached(block: Block): Block {
  return JSON.parse(JSON.stringify(block)) as Block;
}

function toBlock(token: Token, live: boolean, by: typeof options): Block {
  if (token.type !== 'code') return { kind: 'html', html: new Parser(by).parse([token]) };
  const { lang, raw, text } = token as Tokens.Code;
  const fence = /^ {0,3}(`{3,}|~{3,})/.exec(raw)?.[1];
  const closed =
    fence !== undefined && raw.trimEnd().split('\n').slice(1).at(-1)?.trim().startsWith(fence);
  return {
    kind: 'code',
    language: (lang ?? '').trim().split(/\s/)[0] ?? '',
    code: text,
    open: live && !closed,
  };
}
