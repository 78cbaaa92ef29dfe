/**
 * The typed client of Heliograph's contract: the front door of this folder, see README.md.
 *
 * Documents have a door of their own, `./document`, so that only who edits loads Yjs.
 */

export { Api, type ChatCopy, type Page } from './api';
export { CallDesk, CallOver, type Call, type CallHandler } from './calls';
export { ChannelRoom, type ChannelChange } from './channel';
export { ChannelDirectory, type ChannelNews } from './channels';
export { ChatRoom, type AskOptions, type ChatChange } from './chat';
export { ChatDirectory } from './chats';
export { Connection, Refused, type ConnectionState } from './connection';
export * from './contract';
export type { Thread } from './conversation';
export { MessageFeed, type FeedEntry } from './feed';
export { ApiError, Http } from './http';
export { newId } from './ids';
