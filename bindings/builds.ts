/** Which core to run, with its companions, and their compilation, shared by all RAMs of a realm. */
import { fromBase64 } from './base64.ts';
import { CompcacheError, show } from './errors.ts';
import { base64 as keeperWasm } from './generated/keeper.ts';
import { base64 as scalarCore } from './generated/core-scalar.ts';
import { base64 as simdCore } from './generated/core.ts';
import { base64 as inspectorWasm } from './generated/inspector.ts';
import type { RamOptions } from './types.ts';
import { compile, compileSync, hasSimd, type Build } from './wasm.ts';

type Wasm = () => Uint8Array<ArrayBuffer>;

const compiled = new Map<string, WebAssembly.Module>();

function release(options: RamOptions): [name: string, wasm: Wasm] {
  return (options.simd ?? hasSimd()) ? ['core', () => fromBase64(simdCore)] : ['core-scalar', () => fromBase64(scalarCore)];
}

function requireBuild(op: string, options: RamOptions): void {
  const { build, simd } = options;
  if (build !== undefined && build !== 'release' && build !== 'checked') {
    throw new CompcacheError('EINVAL', op, `build must be 'release' or 'checked', not ${show(build)}`);
  }
  if (simd !== undefined && typeof simd !== 'boolean') throw new CompcacheError('EINVAL', op, 'simd must be true or false');
}

/** Compiles at the first use, and keeps. */
export async function kept(op: string, name: string, wasm: Wasm): Promise<WebAssembly.Module> {
  const module = compiled.get(name) ?? (await compile(op, wasm()));
  compiled.set(name, module);
  return module;
}

/** The synchronous twin of kept. */
function keptSync(op: string, name: string, wasm: Wasm): WebAssembly.Module {
  const module = compiled.get(name) ?? compileSync(op, wasm());
  compiled.set(name, module);
  return module;
}

/** A core with the companions of the release builds. */
function released(core: WebAssembly.Module): Build {
  return {
    checked: false,
    core,
    inspector: (op) => keptSync(op, 'inspector', () => fromBase64(inspectorWasm)),
    keeper: (op) => keptSync(op, 'keeper', () => fromBase64(keeperWasm)),
  };
}

/** The modules that the options ask for. EINVAL, ENODEV. */
export async function buildFor(op: string, options: RamOptions): Promise<Build> {
  requireBuild(op, options);
  if (options.module !== undefined) return released(options.module);
  if (options.build !== 'checked') return released(await kept(op, ...release(options)));
  const checked = await import('./checked.ts');
  const build = released(await kept(op, 'core-checked', checked.wasm));
  return { ...build, checked: true, keeper: (caller) => keptSync(caller, 'keeper-checked', checked.keeperWasm) };
}

/** The same, at once: the checked build must come as a module then. */
export function buildForSync(op: string, options: RamOptions): Build {
  requireBuild(op, options);
  if (options.module !== undefined) return released(options.module);
  if (options.build === 'checked') {
    throw new CompcacheError('EINVAL', op, "build 'checked' needs a module here, or Ram.create, which loads it");
  }
  return released(keptSync(op, ...release(options)));
}
