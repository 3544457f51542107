/** Vite's `?raw`: a file as text, in Node and in browsers. */
declare module '*.tsv?raw' {
  const text: string;
  export default text;
}
