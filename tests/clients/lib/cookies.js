// Cookies as a browser keeps them.
//
// A stock client outside a browser keeps cookies of one connection (`withCredentials`) and begins
// with none when it connects again. A browser gives them back then, too, and so asks for the
// server that it had. These transports are the stock ones with one jar for all connections.

import { NodeWebSocket, NodeXHR } from 'engine.io-client';

class Jar {
  constructor() {
    this.kept = new Map();
  }

  // What engine.io-client asks of its own jar, see its globals.node.js.
  parseCookies(lines) {
    for (const line of lines ?? []) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const [name, value] = pair.split(/=(.*)/s);
      const age = attributes.find((each) => /^max-age=/i.test(each));
      const expires = attributes.find((each) => /^expires=/i.test(each));
      const gone = age
        ? Number(age.slice(8)) <= 0
        : expires && Date.parse(expires.slice(8)) <= Date.now();
      if (gone) this.kept.delete(name);
      else this.kept.set(name, { value });
    }
  }

  get cookies() {
    return this.kept.entries();
  }

  get line() {
    return [...this.kept].map(([name, { value }]) => `${name}=${value}`).join('; ');
  }

  /** A request with these cookies, as a page's `fetch` makes it. */
  async fetch(url, options = {}) {
    const answer = await fetch(url, { ...options, headers: { ...options.headers, cookie: this.line } });
    this.parseCookies(answer.headers.getSetCookie());
    return answer;
  }

  addCookies(xhr) {
    if (!this.kept.size) return;
    xhr.setDisableHeaderCheck(true);
    xhr.setRequestHeader('cookie', this.line);
  }
}

/** The client option `transports`, polling and then websocket, for one client. */
export function transportsOfBrowser() {
  const jar = new Jar();
  const within = (options) => {
    options.socket._cookieJar = jar;
    return options;
  };
  class Polling extends NodeXHR {
    constructor(options) {
      super(within(options));
    }
  }
  class Websocket extends NodeWebSocket {
    constructor(options) {
      super(within(options));
    }

    createSocket(uri, protocols, options) {
      const socket = super.createSocket(uri, protocols, options);
      socket.on('upgrade', (answer) => jar.parseCookies(answer.headers['set-cookie']));
      socket.on('unexpected-response', (_, answer) => {
        jar.parseCookies(answer.headers['set-cookie']);
        // With a listener, ws leaves it to us to say that it failed; the client then ends it.
        socket.emit('error', new Error(`Unexpected server response: ${answer.statusCode}`));
      });
      return socket;
    }
  }
  return { transports: [Polling, Websocket], jar };
}
