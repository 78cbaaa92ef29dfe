/** What tools want shown beside their answers, safely. */

export { default as Embed } from './Embed.svelte';
