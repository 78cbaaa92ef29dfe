/** Channels: the list in the side bar, and the view of one. */

export { channels } from './channels.svelte';
export { default as ChannelList } from './ChannelList.svelte';
export { default as ChannelsHome } from './ChannelsHome.svelte';
export { default as ChannelView } from './ChannelView.svelte';
