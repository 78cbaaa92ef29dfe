/** Notes: the list in the side bar and the start page; the editor loads when a note is opened. */

export { default as NoteList } from './NoteList.svelte';
export { default as NotesHome } from './NotesHome.svelte';
