/** lz4js has no types. bindings/codec/lz4js.ts declares what it uses. */
declare module 'lz4js';
