// Say something in a channel (made when there is none) and see it come back.
//
//   node channel.mjs general "Good morning"

import { io } from 'socket.io-client';

const url = process.env.HELIOGRAPH_URL ?? 'http://127.0.0.1:8080';
const token = process.env.HELIOGRAPH_TOKEN;
const [name, content] = process.argv.slice(2);

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

// #region channel
const socket = io(url, { path: '/ws/socket.io', auth: { token } });
const room = { id: null };

socket.on('connect', async () => {
  if (!socket.recovered) await socket.emitWithAck('join-channels', {});
});

socket.on('events:channel', ({ channel_id, user, data: { type, data } }) => {
  if (channel_id !== room.id) return;
  if (type === 'typing') console.log(`${user.name} ${data.typing ? 'is typing' : 'stopped typing'}`);
  if (type === 'message') {
    console.log(`${user.name}: ${data.content}`);
    socket.emit('events:channel', { channel_id, data: { type: 'last_read_at' } });
    if (data.temp_id === 'mine') socket.disconnect();
  }
});
// #endregion

socket.once('connect', async () => {
  const channels = await http('GET', '/api/v1/channels/?limit=200');
  const found = channels.find((channel) => channel.name === name);
  room.id = (found ?? (await http('POST', '/api/v1/channels/create', { name }))).id;
  const typing = { channel_id: room.id, data: { type: 'typing', data: { typing: true } } };
  const told = await socket.emitWithAck('events:channel', typing);
  if (told?.error) throw new Error(told.error.message);
  await http('POST', `/api/v1/channels/${room.id}/messages/post`, { content, temp_id: 'mine' });
});
