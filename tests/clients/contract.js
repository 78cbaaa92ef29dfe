// The contract's rows with a stock socket.io-client; started by test_node_clients.py.
//
// `node contract.js [part of a check's name, or a row]`

import './checks/connect.js';
import './checks/session.js';
import './checks/channels.js';
import './checks/chat.js';
import './checks/emitter.js';
import './checks/caller.js';
import './checks/documents.js';
import './checks/recovery.js';
import { run } from './lib/harness.js';

await run(process.argv[2]);
