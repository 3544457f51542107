/**
 * Types of AssemblyScript, for the files in assembly/ that TypeScript also reads: constants, and the contract of the
 * allocators.
 */
declare type u32 = number;
declare type usize = number;
declare type bool = boolean;
