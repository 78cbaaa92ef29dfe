/** Python in the browser: the front door of this folder. Nothing loads before the first run. */

export { TOTAL_BYTES } from './files';
export { runPython, TIME_LIMIT, type PythonOptions, type PythonResult } from './run';
