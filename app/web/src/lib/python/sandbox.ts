/**
 * The page's end of the frame that runs Python: there from the first use on, one for the page.
 *
 * The frame is sandboxed with an origin of its own (no token, no storage, no cookies) and a
 * policy without connections, so a program, whoever wrote it, reaches nothing of the person's.
 */

import { loadFiles } from './files';
import type { FromFrame, Output, ToFrame } from './protocol';

const START_MS = 60_000;

/** How one program is followed. */
export interface Follower {
  onrunning: () => void;
  onoutputs: (outputs: Output[]) => void;
  ondone: (result: string) => void;
  onbroken: (message: string) => void;
}

class Sandbox {
  readonly #frame: HTMLIFrameElement;
  readonly #port: MessagePort;
  readonly #followers = new Map<number, Follower>();
  #last = 0;

  private constructor(frame: HTMLIFrameElement, port: MessagePort) {
    this.#frame = frame;
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<FromFrame>) => this.#take(data);
  }

  /** @throws a sentence when it did not start */
  static async start(onprogress: (bytes: number) => void): Promise<Sandbox> {
    const [files, frame] = await Promise.all([loadFiles(onprogress), openFrame()]);
    const { port1, port2 } = new MessageChannel();
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('Python did not start.')), START_MS);
        port1.onmessage = ({ data }: MessageEvent<FromFrame>) => {
          clearTimeout(timer);
          if (data.type === 'ready') resolve();
          else reject(new Error(`Python did not start: ${'message' in data ? data.message : ''}`));
        };
        // An opaque origin has no name to send to; what is sent is no secret.
        frame.contentWindow?.postMessage('port', '*', [port2]);
        port1.postMessage({ type: 'start', files } satisfies ToFrame, Object.values(files));
      });
    } catch (error) {
      frame.remove();
      throw error;
    }
    return new Sandbox(frame, port1);
  }

  get alive(): boolean {
    return this.#frame.isConnected;
  }

  /** Run a program; returns what ends it, whatever it is doing. */
  run(code: string, follower: Follower): () => void {
    const id = ++this.#last;
    this.#followers.set(id, follower);
    this.#send({ type: 'run', id, code });
    return () => {
      if (this.#followers.delete(id)) this.#send({ type: 'stop', id });
    };
  }

  #send(message: ToFrame): void {
    this.#port.postMessage(message);
  }

  #take(message: FromFrame): void {
    if (!('id' in message)) return;
    const follower = this.#followers.get(message.id);
    if (!follower) return;
    if (message.type === 'running') follower.onrunning();
    else if (message.type === 'outputs') follower.onoutputs(message.outputs);
    else {
      this.#followers.delete(message.id);
      if (message.type === 'done') follower.ondone(message.result);
      else follower.onbroken(message.message);
    }
  }
}

function openFrame(): Promise<HTMLIFrameElement> {
  const frame = document.createElement('iframe');
  frame.sandbox.add('allow-scripts');
  frame.src = '/python.html';
  frame.title = 'Python';
  frame.hidden = true;
  return new Promise((resolve) => {
    frame.addEventListener('load', () => resolve(frame), { once: true });
    document.body.append(frame);
  });
}

let starting: Promise<Sandbox> | null = null;
const watchers = new Set<(bytes: number) => void>();

/** The sandbox, started if need be; a failed start is tried again the next time. */
export async function sandbox(onprogress: (bytes: number) => void): Promise<Sandbox> {
  watchers.add(onprogress);
  try {
    starting ??= Sandbox.start((bytes) => watchers.forEach((watcher) => watcher(bytes)));
    const started = await starting;
    if (started.alive) return started;
    starting = null; // somebody removed the frame
    return await sandbox(onprogress);
  } catch (error) {
    starting = null;
    throw error;
  } finally {
    watchers.delete(onprogress);
  }
}
