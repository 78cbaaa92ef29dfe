"""Tasks: work that outlives the request that asked for it, and can be stopped with confirmation."""

from heliograph.tasks.redis_registry import RedisTaskRegistry
from heliograph.tasks.registry import (
    MemoryTaskRegistry,
    TaskRecord,
    TaskRegistry,
    TaskState,
)
from heliograph.tasks.tasks import Task, TaskOutcome, Tasks

__all__ = [
    "MemoryTaskRegistry",
    "RedisTaskRegistry",
    "Task",
    "TaskOutcome",
    "TaskRecord",
    "TaskRegistry",
    "TaskState",
    "Tasks",
]
