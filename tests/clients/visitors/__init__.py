"""python-socketio clients that live through failures: what ``history.js`` is for Node.

    python -m tests.clients.visitors

The first line of standard input is the scene, as for ``history.js``; what is written is described
in ``lib/report.js``, what is checked in ``history.js``. These clients do not recover connections
(``recovery: false``): after each return they read what there is. ``way`` of a person is
``websocket``, ``polling`` or ``upgrade``. Cookies end with a connection, as they do by default.

Limits: the library gives each attempt to come back one second for the server's CONNECT, whatever
was given to the first one.
"""
