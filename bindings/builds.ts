/** Which core to run, and its compilation, shared by all RAMs of a realm. */
import { CompcacheError } from './errors.ts';
import { base64 as scalarCore } from './generated/core-scalar.ts';
import { base64 as simdCore } from './generated/core.ts';
import { base64 as inspectorWasm } from './generated/inspector.ts';
import type { RamOptions } from './types.ts';
import { compile, compileSync, fromBase64, hasSimd } from './wasm.ts';

const compiled = new Map<string, WebAssembly.Module>();

function release(options: RamOptions): 'core' | 'core-scalar' {
  return (options.simd ?? hasSimd()) ? 'core' : 'core-scalar';
}

function wasmOf(name: 'core' | 'core-scalar'): Uint8Array<ArrayBuffer> {
  return fromBase64(name === 'core' ? simdCore : scalarCore);
}

function requireBuild(op: string, options: RamOptions): void {
  const { build, simd } = options;
  if (build !== undefined && build !== 'release' && build !== 'checked') {
    throw new CompcacheError('EINVAL', op, `build must be 'release' or 'checked', not ${String(build)}`);
  }
  if (simd !== undefined && typeof simd !== 'boolean') throw new CompcacheError('EINVAL', op, 'simd must be true or false');
}

/** The module that the options ask for. EINVAL, ENODEV. */
export async function moduleFor(op: string, options: RamOptions): Promise<WebAssembly.Module> {
  requireBuild(op, options);
  if (options.module !== undefined) return options.module;
  const name = options.build === 'checked' ? 'core-checked' : release(options);
  let module = compiled.get(name);
  if (module === undefined) {
    const wasm = name === 'core-checked' ? (await import('./checked.ts')).wasm() : wasmOf(name);
    module = await compile(op, wasm);
    compiled.set(name, module);
  }
  return module;
}

/** Compiles at the first use, and keeps. */
function kept(op: string, name: string, wasm: () => Uint8Array<ArrayBuffer>): WebAssembly.Module {
  let module = compiled.get(name);
  if (module === undefined) {
    module = compileSync(op, wasm());
    compiled.set(name, module);
  }
  return module;
}

/** The inspector's module. ENODEV. */
export function inspectorModule(op: string): WebAssembly.Module {
  return kept(op, 'inspector', () => fromBase64(inspectorWasm));
}

/** The same, at once: the checked build must come as a module then. */
export function moduleForSync(op: string, options: RamOptions): WebAssembly.Module {
  requireBuild(op, options);
  if (options.module !== undefined) return options.module;
  if (options.build === 'checked') {
    throw new CompcacheError('EINVAL', op, "build 'checked' needs a module here, or Ram.create, which loads it");
  }
  const name = release(options);
  return kept(op, name, () => wasmOf(name));
}
