"""What an operator may do with a replica that runs, through Redis; see ``docs/operator.md``.

Nothing here is needed for the replica to work: without an operator nobody writes, and what was
written last stays in force.
"""

from heliograph.control.control import Control
from heliograph.control.report import Facts

__all__ = ["Control", "Facts"]
