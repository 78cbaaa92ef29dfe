// Checks, and the loop that runs them.
//
// A check belongs to one or more rows of rows.json, gets a Scene to act in, and passes by
// returning. Results go to standard output, a line of JSON each; whoever started us (pytest)
// also answers our requests for things that only the server's side can do, see `control`.

import { createInterface } from 'node:readline';

import { Scene } from './scene.js';

const CHECK_SECONDS = 45;
const AT_ONCE = 6; // most checks wait most of the time

const checks = [];

/** Register a check of one row or several. */
export function check(rows, name, body) {
  checks.push({ rows: [rows].flat(), name, body });
}

const input = createInterface({ input: process.stdin });
const waiting = new Map();
let settingUp;
let number = 0;

/** What this run is to talk to: the first line of standard input. */
export const setup = new Promise((resolve) => {
  settingUp = resolve;
});

input.on('line', (line) => {
  const message = JSON.parse(line);
  if (message.setup) {
    settingUp(message.setup);
    return;
  }
  const { resolve, reject } = waiting.get(message.control);
  waiting.delete(message.control);
  if (message.error) {
    reject(new Error(`control: ${message.error}`));
  } else {
    resolve(message.result);
  }
});

function report(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Ask the process that runs the server to do something: see world.py for what it can do. */
export function control(action, args = {}) {
  number += 1;
  const id = number;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    report({ control: id, do: action, ...args });
  });
}

async function runOne({ rows, name, body }, config) {
  const scene = new Scene(config, control);
  const began = Date.now();
  let timer;
  const tooLate = new Promise((_, reject) => {
    const message = `not done after ${CHECK_SECONDS} s`;
    timer = setTimeout(() => reject(new Error(message)), CHECK_SECONDS * 1000);
  });
  let error = null;
  try {
    await Promise.race([body(scene), tooLate]);
  } catch (caught) {
    error = String(caught?.stack ?? caught);
  }
  clearTimeout(timer);
  scene.close();
  report({ check: name, rows, ok: error === null, error, ms: Date.now() - began });
}

/** Run every registered check whose name contains `only`, some at a time, and exit. */
export async function run(only = '') {
  const config = await setup;
  const queue = checks.filter((each) => each.name.includes(only) || each.rows.includes(only));
  process.on('unhandledRejection', (error) => {
    report({ check: 'no rejection is left unhandled', rows: [], ok: false, error: String(error?.stack ?? error) });
  });
  const workers = Array.from({ length: AT_ONCE }, async () => {
    while (queue.length > 0) {
      await runOne(queue.shift(), config);
    }
  });
  await Promise.all(workers);
  // Standard output may be a pipe that has not been written out yet.
  process.stdout.write('', () => process.exit(0));
}
