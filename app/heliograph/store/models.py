"""The tables: what has settled.

Times of users and chats are whole seconds since 1970, those of channels, channel
messages and notes nanoseconds, as in Open WebUI. Ids are strings; a message's id
is unique only within its chat, since clients choose it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Named constraints, so that migrations can alter them on every database.
_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

_BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER keys only


class Base(DeclarativeBase):
    """Root of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSON, list[Any]: JSON}


class User(Base):
    """A person with an account. ``role`` is ``admin``, ``user`` or ``pending``."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(320), unique=True)
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    last_active_at: Mapped[int] = mapped_column(BigInteger)


class ApiKey(Base):
    """One key a user; only its SHA-256 is kept."""

    __tablename__ = "api_keys"

    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class AccessGrant(Base):
    """``permission`` (``read`` or ``write``) of a user on a ``note``, ``chat`` or ``document``."""

    __tablename__ = "access_grants"

    resource_type: Mapped[str] = mapped_column(String(20), primary_key=True)
    resource_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    permission: Mapped[str] = mapped_column(String(10))


class Chat(Base):
    """A conversation with a model. Its messages are rows of their own."""

    __tablename__ = "chats"
    __table_args__ = (Index("ix_chats_user_id_updated_at", "user_id", "updated_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(Text)
    models: Mapped[list[Any]]
    tags: Mapped[list[Any]]
    extra: Mapped[dict[str, Any]]
    current_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    last_read_at: Mapped[int] = mapped_column(BigInteger)


class Message(Base):
    """A message of a chat.

    ``state``: ``streaming`` while in flight, then ``finished``, ``stopped``,
    ``interrupted`` or ``error``. ``owner`` is the replica that writes it, or wrote it last;
    what another one writes of its answer is refused. ``extra`` keeps fields that only
    clients read.
    """

    __tablename__ = "messages"
    __table_args__ = (
        # Those in flight are few among many: of one chat, or with a dead owner.
        Index(
            "ix_messages_in_flight",
            "chat_id",
            "owner",
            postgresql_where=text("state = 'streaming'"),
            sqlite_where=text("state = 'streaming'"),
        ),
    )

    chat_id: Mapped[str] = mapped_column(
        ForeignKey("chats.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    parent_id: Mapped[str | None] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(20))
    content: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(20))
    owner: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    extra: Mapped[dict[str, Any]]
    created_at: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(Integer)


class MessageItem(Base):
    """One appended thing of a message.

    ``kind``: ``status``, ``source``, ``file``, ``embed`` or ``usage``.

    Rows, not a list in the message: two tools that append at once lose nothing.
    """

    __tablename__ = "message_items"
    __table_args__ = (
        ForeignKeyConstraint(
            ["chat_id", "message_id"],
            ["messages.chat_id", "messages.id"],
            ondelete="CASCADE",
            name="fk_message_items_message",
        ),
        Index("ix_message_items_message", "chat_id", "message_id"),
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    chat_id: Mapped[str] = mapped_column(String(64))
    message_id: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(20))
    payload: Mapped[Any] = mapped_column(JSON)


class Channel(Base):
    """A channel. A public one has every user as member, a private one its rows of members.

    ``seq`` counts its changes: their events leave in this order.
    """

    __tablename__ = "channels"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    private: Mapped[bool] = mapped_column(Boolean)
    seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class ChannelMember(Base):
    """Membership of a private channel, and the read mark of any channel.

    ``role``: ``manager``, ``member``, or ``reader`` for a row of a public channel
    that only holds a read mark.
    """

    __tablename__ = "channel_members"

    channel_id: Mapped[str] = mapped_column(
        ForeignKey("channels.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str] = mapped_column(String(20))
    joined_at: Mapped[int] = mapped_column(BigInteger)
    last_read_at: Mapped[int] = mapped_column(BigInteger)


class ChannelMessage(Base):
    """A message in a channel; ``parent_id`` makes it a reply in that message's thread."""

    __tablename__ = "channel_messages"
    __table_args__ = (
        Index("ix_channel_messages_channel_created", "channel_id", "created_at"),
        Index("ix_channel_messages_parent_created", "parent_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    channel_id: Mapped[str] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    parent_id: Mapped[str | None] = mapped_column(
        ForeignKey("channel_messages.id", ondelete="CASCADE")
    )
    content: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    meta: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class ChannelReaction(Base):
    """A user's reaction ``name`` to a channel message."""

    __tablename__ = "channel_reactions"
    __table_args__ = (UniqueConstraint("message_id", "user_id", "name"),)

    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    message_id: Mapped[str] = mapped_column(
        ForeignKey("channel_messages.id", ondelete="CASCADE"), index=True
    )
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[int] = mapped_column(BigInteger)


class Note(Base):
    """A note. Its text is derived from its document and kept here for lists and search.

    ``content_seq`` is the sequence of the document the text is of; when the document is
    further, the text here is behind.
    """

    __tablename__ = "notes"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    title: Mapped[str] = mapped_column(Text)
    content_md: Mapped[str] = mapped_column(Text)
    content_html: Mapped[str] = mapped_column(Text)
    content_json: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    content_seq: Mapped[int] = mapped_column(BigInteger)
    meta: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class Document(Base):
    """A shared document: snapshot up to ``snapshot_seq``, then the rows of its log.

    ``id`` is the canonical document id (``note:{note_id}`` for notes). ``seq`` is the
    last one given out; ``user_id`` owns a document that is not a note's.
    """

    __tablename__ = "documents"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    seq: Mapped[int] = mapped_column(BigInteger)
    snapshot: Mapped[bytes | None] = mapped_column(LargeBinary)
    snapshot_seq: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class DocumentUpdate(Base):
    """One accepted update of a document, as it came."""

    __tablename__ = "document_updates"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    user_id: Mapped[str | None] = mapped_column(String(64))
    update: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[int] = mapped_column(BigInteger)
