/**
 * Markdown as a list of blocks, cheap to keep up with while text is being appended.
 *
 * All blocks but the last are settled: what comes later cannot change them, so they are neither
 * read nor rendered again. Only the text from the beginning of the last block on is read anew.
 * When the text is not a continuation of what was there before, everything is.
 */

import { Lexer, Marked, Parser, type Token, type Tokens } from 'marked';
import { renderer } from './renderer';

export type Block =
  /** HTML as the Markdown library made it: not sanitised yet. */
  | { kind: 'html'; html: string }
  /** A fenced or indented code block; `open` while its end has not come. */
  | { kind: 'code'; language: string; code: string; open: boolean };

const { defaults: options } = new Marked({ gfm: true, breaks: true, renderer });

export class BlockList {
  #settled: Block[] = [];
  #settledText = '';
  #links: Lexer['tokens']['links'] = Object.create(null) as Lexer['tokens']['links'];

  /**
   * The blocks of `text`. Settled ones are the same objects as before.
   *
   * @param live whether more text may follow
   */
  update(text: string, live: boolean): Block[] {
    const source = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
    if (!source.startsWith(this.#settledText)) this.#reset();
    const rest = source.slice(this.#settledText.length);
    const lexer = new Lexer(options);
    Object.assign(lexer.tokens.links, this.#links);
    const tokens = lexer.lex(rest);
    this.#links = lexer.tokens.links;
    const last = tokens.findLastIndex((token) => token.type !== 'space');
    let taken = '';
    tokens.slice(0, Math.max(0, last)).forEach((token) => {
      taken += token.raw;
      if (token.type !== 'space') this.#settled.push(detached(toBlock(token, false)));
    });
    if (!rest.startsWith(taken)) return this.#whole(source, tokens, live);
    this.#settledText += taken;
    const open = tokens[last];
    return open ? [...this.#settled, toBlock(open, live)] : [...this.#settled];
  }

  /** The library changed the text it read, so its lengths say nothing: settle nothing. */
  #whole(source: string, tokens: Token[], live: boolean): Block[] {
    const all = this.#settledText === '' ? tokens : new Lexer(options).lex(source);
    this.#reset();
    return all.filter((token) => token.type !== 'space').map((token) => toBlock(token, live));
  }

  #reset(): void {
    this.#settled = [];
    this.#settledText = '';
    this.#links = Object.create(null) as Lexer['tokens']['links'];
  }
}

/**
 * A copy whose strings are its own. A part of a string keeps the whole alive, and each block would
 * keep the message as it was when the block ended.
 */
function detached(block: Block): Block {
  return JSON.parse(JSON.stringify(block)) as Block;
}

function toBlock(token: Token, live: boolean): Block {
  if (token.type !== 'code') return { kind: 'html', html: new Parser(options).parse([token]) };
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
