/** Chats: the list in the side bar, and the view of one. */

export { chats } from './chats.svelte';
export { default as ChatList } from './ChatList.svelte';
export { default as ChatView } from './ChatView.svelte';
export { models } from './models.svelte';
