/** What the server asks of this page, and what the person's own servers offer. */

export { default as CallDialogs } from './CallDialogs.svelte';
export { directModels, modelItem, type DirectModel } from './directModels';
export { default as Execution } from './Execution.svelte';
export { default as Executions } from './Executions.svelte';
export { executions, runCode } from './executions.svelte';
export { default as RunnableCode } from './RunnableCode.svelte';
export { enabledToolServers } from './toolServers';
