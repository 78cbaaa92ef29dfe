// Real Yjs clients on a note of several replicas; started by test_yjs_replicas.py.
//
// `node yjsreplicas.js`, with `seed` and `edits` in the setup, and the servers `main` and `doomed`.

import './checks/replicas.js';
import { run } from './lib/harness.js';

await run(process.argv[2]);
