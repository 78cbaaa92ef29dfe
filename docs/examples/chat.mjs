// Ask a model, print its answer as it comes, and answer what tools ask.
//
//   node chat.mjs "What is a heliograph?"
//   node chat.mjs --chat CHAT_ID             follow what is in flight there, also after a restart
//
// HELIOGRAPH_URL and HELIOGRAPH_TOKEN say where and who.

import { io } from 'socket.io-client';

const url = process.env.HELIOGRAPH_URL ?? 'http://127.0.0.1:8080';
const token = process.env.HELIOGRAPH_TOKEN;

async function http(method, path, body) {
  const answer = await fetch(url + path, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const result = await answer.json();
  if (!answer.ok) throw new Error(`${result.code}: ${result.detail}`);
  return result;
}

// #region connect
const socket = io(url, {
  path: '/ws/socket.io',
  auth: { token },
  reconnection: true,
  reconnectionDelay: 1000,
  reconnectionDelayMax: 5000,
  randomizationFactor: 0.5,
});

socket.on('connect_error', (error) => {
  console.error(error.data?.code ?? 'unreachable', error.message);
  if (!socket.active) process.exit(1); // refused: the client does not try again by itself
});
socket.on('error', ({ event, code, message }) => console.error(event ?? 'session', code, message));
socket.on('disconnect', () => {
  if (!socket.active && !answer.ended) process.exit(1); // the server ended the session
});
const beat = setInterval(() => socket.emit('heartbeat', {}), 30_000);
// #endregion

const answer = { chatId: null, messageId: null, seq: 0, text: '', held: null, ended: false };

function show(text) {
  process.stdout.write(text.startsWith(answer.text) ? text.slice(answer.text.length) : `\n${text}`);
  answer.text = text;
}

function end(state, reason = '') {
  answer.ended = true;
  console.log();
  console.error(`${state}${reason && `: ${reason}`}; chat ${answer.chatId}`);
  clearInterval(beat);
  socket.disconnect();
}

// #region events
socket.on('events', async (event, acknowledge) => {
  // The second argument of an event that is no call is the recovery offset, a string.
  if (typeof acknowledge === 'function') acknowledge(await answerCall(event));
  else if (event.chat_id === answer.chatId && event.message_id === answer.messageId) take(event);
});

function take(event) {
  if (answer.held) return answer.held.push(event);
  const { seq = answer.seq + 1 } = event; // without one: of a tool, after the answer has ended
  const { type, data } = event.data;
  if (type === 'message' && seq > answer.seq + 1) {
    answer.held = [event]; // a gap
    catchUp();
  } else if (type === 'message' || type === 'replace') {
    if (seq <= answer.seq) return; // join-chat has brought it already
    answer.seq = seq;
    show(type === 'replace' ? data.content : answer.text + data.content);
  } else if (type === 'status') console.error(`[${data.description}]`);
  else if (type === 'chat:completion' && data.done) end(data.state);
  else if (type === 'chat:tasks:cancel') end('stopped');
  else if (type === 'chat:message:error') end('error', data.error.content);
}
// #endregion

// #region resume
socket.on('connect', () => {
  // Recovered: the same id, the same rooms, and every missed event is on its way.
  if (answer.messageId && (!socket.recovered || answer.held)) catchUp();
});

async function catchUp() {
  answer.held ??= []; // what comes now waits until it is known what it continues
  const { chatId: chat_id, messageId: message_id, seq: last_seq } = answer;
  let joined;
  try {
    const payload = { chat_id, message_id, last_seq };
    joined = await socket.timeout(10_000).emitWithAck('join-chat', payload);
  } catch {
    return; // the connection broke again: `connect` will ask
  }
  if (joined.error) return end('error', joined.error.message);
  const [stream] = joined.streams;
  if (stream) {
    // `content` covers (from_seq, seq]; from_seq 0 means the whole.
    show(stream.from_seq === 0 ? stream.content : answer.text + stream.content);
    answer.seq = stream.seq;
    const held = answer.held;
    answer.held = null;
    held.forEach(take);
  } else {
    const { chat } = await http('GET', `/api/v1/chats/${chat_id}`); // it has ended meanwhile
    const message = chat.history.messages[message_id];
    show(message.content);
    end(message.state, message.error?.content);
  }
}
// #endregion

// #region calls
const answers = new Map(); // by call_id: a call is sent again after a recovery

function answerCall({ call_id, data: { type, data } }) {
  if (!answers.has(call_id)) answers.set(call_id, decide(type, data));
  return answers.get(call_id);
}

async function decide(type, data) {
  console.error(`? ${data.message}`);
  if (type === 'confirmation') return true; // or false
  if (type === 'input') return process.env.USER ?? 'nobody'; // text, or false for "cancelled"
  return { error: `this page cannot ${type}` };
}
// #endregion

// #region ask
async function ask(content) {
  const chat = await http('POST', '/api/v1/chats/new', { chat: {} });
  answer.chatId = chat.id;
  answer.messageId = crypto.randomUUID(); // known before the first event comes
  await http('POST', '/api/chat/completions', {
    model: (await http('GET', '/api/models')).data[0].id,
    session_id: socket.id,
    chat_id: chat.id,
    id: answer.messageId,
    messages: [{ role: 'user', content }],
  });
}
// #endregion

async function follow(chatId) {
  const { chat } = await http('GET', `/api/v1/chats/${chatId}`);
  answer.chatId = chatId;
  answer.messageId = chat.history.currentId;
  await catchUp();
}

const [first, second] = process.argv.slice(2);
socket.once('connect', async () => {
  try {
    await (first === '--chat' ? follow(second) : ask(first ?? 'Hello there'));
  } catch (error) {
    end('error', error.message);
  }
});
