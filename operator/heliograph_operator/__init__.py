"""The operator of one Heliograph fleet: tunes running replicas, drains pods, moves load.

It does what an on-call engineer would otherwise do by hand; see ``docs/operator.md``. Nothing of
the fleet needs it: what it ordered is in Redis and stays in force when it is away.

Layers, higher first: ``cli``, ``process``, ``loop``, then ``status`` and ``plans`` (pure), then
``kubernetes``, ``control`` (Redis) and ``world``, then what they are about: ``gateway``,
``reports``, ``pods``.
"""

__version__ = "0.1.0"
