/** A program's stdout: text as it comes, and lines that are pictures taken out of it. */

import { CUT, MOST_OUTPUT, MOST_PICTURE, MOST_PICTURES, PICTURE, type Output } from './protocol';

const BEGINNING = 'data:image/';

/** Sends one program's output on, bounded. */
export class OutputSender {
  readonly #send: (output: Output) => void;
  readonly #sent = { stdout: 0, stderr: 0 };
  #held = ''; // a line of stdout that may become a picture
  #lineBegins = true;
  #pictures = 0;

  constructor(send: (output: Output) => void) {
    this.#send = send;
  }

  stderr(text: string): void {
    this.#text('stderr', text);
  }

  stdout(text: string): void {
    let rest = this.#held + text;
    this.#held = '';
    let plain = '';
    while (rest !== '') {
      const end = rest.indexOf('\n');
      const line = end === -1 ? rest : rest.slice(0, end + 1);
      rest = rest.slice(line.length);
      if (this.#lineBegins && mayBePicture(line)) {
        if (end === -1) {
          this.#held = line;
          break;
        }
        if (PICTURE.test(line.trim())) {
          this.#text('stdout', plain);
          plain = '';
          this.picture(line.trim());
          continue;
        }
      }
      plain += line;
      this.#lineBegins = end !== -1;
    }
    this.#text('stdout', plain);
  }

  /** Show a picture; in stdout its number stands in its place. */
  picture(url: string): void {
    if (!PICTURE.test(url)) {
      this.#text('stderr', 'A picture was not shown: it has no form that pictures have.\n');
    } else if (url.length > MOST_PICTURE) {
      this.#text('stderr', 'A picture was not shown: it has more than 3 MB.\n');
    } else if (this.#pictures >= MOST_PICTURES) {
      this.#text('stderr', `A picture was not shown: there are ${MOST_PICTURES} already.\n`);
    } else {
      this.#pictures += 1;
      this.#send({ type: 'picture', url });
      this.#text('stdout', `[picture ${this.#pictures}]\n`);
    }
    this.#lineBegins = true;
  }

  /** The program has ended: what was held is text, or a picture without a line end. */
  end(): void {
    const last = this.#held;
    this.#held = '';
    if (PICTURE.test(last.trim())) this.picture(last.trim());
    else this.#text('stdout', last);
  }

  #text(stream: 'stdout' | 'stderr', text: string): void {
    const left = MOST_OUTPUT - this.#sent[stream];
    if (text === '' || left < 0) return;
    this.#sent[stream] += text.length;
    this.#send({
      type: 'output',
      stream,
      text: text.length > left ? text.slice(0, left) + CUT : text,
    });
  }
}

/** Whether the line is, or may go on to be, a picture: not so long that memory suffers. */
function mayBePicture(line: string): boolean {
  if (line.length > 3 * MOST_PICTURE) return false;
  return line.startsWith(BEGINNING) || BEGINNING.startsWith(line);
}
