/**
 * Chooses the build of the core and compiles it. All RAMs of a realm share the compiled modules. The SIMD build is
 * inlined. The scalar build, for hosts without SIMD, and the checked build are loaded when needed.
 */
import { fromBase64 } from './base64.ts';
import { CompcacheError, show } from './errors.ts';
import { base64 as simdCore } from './generated/core.ts';
import type { RamOptions } from './plain-types.ts';
import { compile, compileSync, hasSimd } from './wasm.ts';

type BuildName = 'simd' | 'scalar' | 'checked';

const compiled = new Map<BuildName, WebAssembly.Module>();

/** The build that the options ask for. EINVAL. */
function nameOf(op: string, { build, simd }: RamOptions): BuildName {
  if (build !== undefined && build !== 'release' && build !== 'checked') {
    throw new CompcacheError('EINVAL', op, `build must be 'release' or 'checked', not ${show(build)}`);
  }
  if (simd !== undefined && typeof simd !== 'boolean')
    throw new CompcacheError('EINVAL', op, 'simd must be true or false');
  return build === 'checked' ? 'checked' : (simd ?? hasSimd()) ? 'simd' : 'scalar';
}

/** The module that the options ask for. EINVAL, ENODEV. */
export async function moduleFor(op: string, options: RamOptions): Promise<WebAssembly.Module> {
  const name = nameOf(op, options);
  if (options.module !== undefined) return options.module;
  const module = compiled.get(name) ?? (await compile(op, await wasmOf(name)));
  compiled.set(name, module);
  return module;
}

async function wasmOf(name: BuildName): Promise<Uint8Array<ArrayBuffer>> {
  if (name === 'simd') return fromBase64(simdCore);
  return name === 'scalar' ? (await import('./scalar.ts')).wasm() : (await import('./checked.ts')).wasm();
}

/**
 * The same without a promise. Only the inlined build can be compiled here; another build must be given as a module.
 * EINVAL, ENODEV.
 */
export function moduleForSync(op: string, options: RamOptions): WebAssembly.Module {
  const name = nameOf(op, options);
  if (options.module !== undefined) return options.module;
  if (name === 'checked')
    throw new CompcacheError('EINVAL', op, "build 'checked' needs a module here, or Ram.create, which loads it");
  if (name === 'scalar') {
    throw new CompcacheError(
      'ENODEV',
      op,
      'the inlined core needs SIMD: use Ram.create, which loads the scalar core, or give compcache/scalar as module',
    );
  }
  const module = compiled.get(name) ?? compileSync(op, fromBase64(simdCore));
  compiled.set(name, module);
  return module;
}
