/** Markdown for reading: safe, and steady while it streams. */

export { default as Markdown } from './Markdown.svelte';
