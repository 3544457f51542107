/** lz4js has no types of its own; bindings/codec/lz4js.ts says what it uses. */
declare module 'lz4js';
