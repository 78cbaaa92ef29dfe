// Real Yjs clients on a note; started by test_yjs_clients.py.
//
// `node yjs.js [part of a check's name]`, with `seed` and `edits` in the setup.

import './checks/editing.js';
import './checks/opening.js';
import { run } from './lib/harness.js';

await run(process.argv[2]);
