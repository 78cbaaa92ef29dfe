"""Tasks: list them, and stop them with confirmation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel

from heliograph.chat import ChatId
from heliograph.edge.http.deps import CurrentUser, Limit, Skip, TheServices
from heliograph.errors import NotFound
from heliograph.principal import Principal
from heliograph.tasks import TaskRecord

router = APIRouter(prefix="/api/tasks", tags=["tasks"])

TaskId = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9\-]+$")]
ItemId = Annotated[ChatId, Path()]


class TaskAnswer(BaseModel):
    """A task; `owner` is the replica that runs it, `age` in seconds."""

    id: str
    item: str
    user_id: str
    label: str
    owner: str
    state: str
    started_at: int
    age: float
    lease_until: float | None


class TasksAnswer(BaseModel):
    """A page of live tasks, the oldest first, and the number of all."""

    tasks: list[TaskAnswer]
    total: int


class ItemTasksAnswer(BaseModel):
    """The live tasks of a chat."""

    task_ids: list[str]
    tasks: list[TaskAnswer]


class StopAnswer(BaseModel):
    """`stopped` by this request (or one at the same time), or `gone`: it had ended."""

    status: Literal["stopped", "gone"]
    message: str


class ItemStopAnswer(StopAnswer):
    """The same of all of a chat's tasks; `stopped` when one was."""

    task_ids: list[str]


@router.post("/stop/{task_id}", response_model=StopAnswer)
async def stop_task(task_id: TaskId, user: CurrentUser, services: TheServices) -> Any:
    """Stop a task; answers when its owner has confirmed. Its user, or an administrator.

    404 for another user's task; 503 `stop_timeout` when it did not end in time.
    """
    record = await services.tasks.get(task_id)
    if record is not None and not _may_see(user, record):
        raise NotFound(f"no task {task_id}")
    outcome = await services.tasks.stop(task_id)
    return {"status": outcome.status, "message": outcome.message}


@router.get("", response_model=TasksAnswer)
async def list_tasks(
    user: CurrentUser, services: TheServices, skip: Skip = 0, limit: Limit = 100
) -> Any:
    """The live tasks: an administrator's list has all, another user's list the user's own."""
    records = [record for record in await services.tasks.list() if _may_see(user, record)]
    page = records[skip : skip + limit]
    return {"tasks": [record.as_dict() for record in page], "total": len(records)}


@router.get("/chat/{chat_id}", response_model=ItemTasksAnswer)
async def list_chat_tasks(chat_id: ItemId, user: CurrentUser, services: TheServices) -> Any:
    """The live tasks of a chat. Its owner, or an administrator."""
    records = await _of_chat(chat_id, user, services)
    return {
        "task_ids": [record.id for record in records],
        "tasks": [record.as_dict() for record in records],
    }


@router.post("/chat/{chat_id}/stop", response_model=ItemStopAnswer)
async def stop_chat_tasks(chat_id: ItemId, user: CurrentUser, services: TheServices) -> Any:
    """Stop all tasks of a chat; answers when all have ended. Its owner, or an administrator."""
    access = await services.chat.chats.writable(user, chat_id, admin=True)
    outcomes = await services.tasks.stop_item(chat_id, user_id=access.owner)
    stopped = [task_id for task_id, outcome in outcomes.items() if outcome.status == "stopped"]
    return {
        "status": "stopped" if stopped else "gone",
        "message": f"{len(stopped)} of {len(outcomes)} tasks were stopped",
        "task_ids": list(outcomes),
    }


async def _of_chat(chat_id: str, user: Principal, services: TheServices) -> list[TaskRecord]:
    access = await services.chat.chats.writable(user, chat_id, admin=True)
    return await services.tasks.of_item(chat_id, user_id=access.owner)


def _may_see(user: Principal, record: TaskRecord) -> bool:
    return user.is_admin or record.user_id == user.id
