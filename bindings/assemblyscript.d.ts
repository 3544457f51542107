/** What assembly/abi.ts names for AssemblyScript. The build writes `number` in the published types (scripts/build.mjs). */
declare type u32 = number;
