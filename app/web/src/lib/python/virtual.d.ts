/** What build/pyodide.ts tells about Pyodide's files. */
declare module 'virtual:pyodide' {
  export const version: string;
  /** Name → bytes, uncompressed. */
  export const files: Record<string, number>;
}
