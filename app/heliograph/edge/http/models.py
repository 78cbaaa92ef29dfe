"""The models there are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from heliograph.edge.http.deps import CurrentUser, TheServices

router = APIRouter(prefix="/api/models", tags=["chat"])


class ModelAnswer(BaseModel):
    """A model; other fields are the upstream's."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str


class ModelsAnswer(BaseModel):
    """All models."""

    data: list[ModelAnswer]


@router.get("", response_model=ModelsAnswer)
async def list_models(_: CurrentUser, services: TheServices) -> Any:
    """The upstream's models, asked for at most once a minute; `echo` without an upstream.

    502 when the upstream cannot say.
    """
    return {"data": await services.chat.models.all()}
