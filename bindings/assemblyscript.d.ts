/** Types of AssemblyScript, for the files of assembly/ that TypeScript reads too: constants, and the contract of the allocators. */
declare type u32 = number;
declare type usize = number;
declare type bool = boolean;
