/** People: find somebody, show who may do what, share something with them. */

export { namesOfPeople } from './names.svelte';
export { default as PeopleSearch } from './PeopleSearch.svelte';
export { default as PersonRow } from './PersonRow.svelte';
export { default as SharingDialog } from './SharingDialog.svelte';
