// Stock clients that live through failures, and a check of what they saw.
//
//   node history.js
//
// The first line of standard input is the scene, as JSON: {"urls": ["http://…"], "people":
// [{"id", "token", "chat", "way"}], "channel", "words", "posters", "connection"}. Each person has
// a socket, asks the model again and again (`words` words), and every `posters`th posts to the
// channel after each answer. `connection` holds options of socket.io-client. What is written is
// described in lib/report.js. The line `stop` ends the asking; what is in flight ends, and then
// {"stopped": true} is written. The line `compare` compares with what the server has, reports and
// ends: whoever runs several of these lets all stop before, since they share the channel.
//
// Checked, from each client's view:
// * deltas of an answer come with seq 1, 2, 3 …: no gap, no double, no disorder;
// * the sequence in the recovery offset of each room never goes back;
// * a client whose connection was not recovered reads the chat and joins it, as the page does,
//   and goes on from there; whose connection was recovered lacks nothing;
// * in the end the text it put together is the text that the server has;
// * every channel message whose post was acknowledged, or that anybody saw, was seen by everybody
//   (or read by those who had to read again), in one order.

import { createInterface } from 'node:readline';

import { Person, sleep } from './lib/person.js';
import { Report, now } from './lib/report.js';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const scene = JSON.parse((await lines.next()).value);
const report = new Report();
const acknowledged = new Set();
const people = [];
const lives = [];
const status = setInterval(() => report.status(people), 500);
for (const [number, account] of scene.people.entries()) {
  people.push(new Person(account, number, scene, report));
  lives.push(people.at(-1).live(acknowledged));
  if (scene.pauseMs) await sleep(scene.pauseMs); // what they do to the server by coming is not the question
}

const said = async (word) => {
  for (;;) {
    const { value, done } = await lines.next();
    if (done) process.exit(1); // whoever started us is gone
    if (value.trim() === word) return;
  }
};

await said('stop');
for (const person of people) person.stopping = true;
const seconds = (now() - report.began) / 1000;
await Promise.all(lives);
// A connection that is just coming back must be whole before it is compared.
while (!people.every((person) => person.settled)) await sleep(100);
await sleep(1000);
clearInterval(status);
process.stdout.write('{"stopped": true}\n');
await said('compare');
for (const person of people) await person.compare(acknowledged);
report.end(seconds);
process.stdout.write('', () => process.exit(0));
