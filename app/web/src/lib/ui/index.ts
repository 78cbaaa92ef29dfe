/** Small parts that every view is made of. */

export { default as Avatar } from './Avatar.svelte';
export { default as Button } from './Button.svelte';
export { colourOf } from './colour';
export { default as ComposerForm } from './ComposerForm.svelte';
export { default as Dialog } from './Dialog.svelte';
export { default as EditText } from './EditText.svelte';
export { default as Field } from './Field.svelte';
export { default as IconButton } from './IconButton.svelte';
export { default as Menu, type MenuItem } from './Menu.svelte';
export { default as RoundButton } from './RoundButton.svelte';
export { default as Spinner } from './Spinner.svelte';
export { ago, clock } from './time';
