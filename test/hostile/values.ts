/** Hostile arguments: values of other types, values to throw and to return, options that act when they are read. */
import { CompcacheError } from '../../bindings/index.ts';
import type { Dice } from './dice.ts';

/** What the makers of hostile values need of the world (world.ts). */
export interface Scene {
  readonly dice: Dice;
  /** Does something else: calls any method of any class, changes buffers, closes. Never throws. */
  act(): void;
  /** Throws a value. */
  throw(): never;
  /** Records a value that a callback throws: some methods throw the same value. */
  passes(thing: unknown): void;
  /** Records a buffer that may shrink, grow or be detached later. */
  note(buffer: ArrayBuffer): void;
  /** Records bytes that foreign code was given, to write to them later. */
  keep(bytes: Uint8Array): void;
  /** Records a promise that is settled later. */
  later(settle: () => void): void;
}

function acting(scene: Scene, answer: unknown): () => unknown {
  return () => {
    scene.act();
    if (!scene.dice.once(3)) return answer;
    const thing = thrown(scene);
    scene.passes(thing);
    throw thing;
  };
}

/** A proxy all of whose traps act, and sometimes throw. */
export function proxy<T extends object>(scene: Scene, target: T): T {
  const trap =
    (reflect: (...given: never[]) => unknown) =>
    (...given: never[]): unknown => {
      if (scene.dice.once(8)) scene.act();
      if (scene.dice.once(30)) scene.throw();
      return reflect(...given);
    };
  const { get, has, ownKeys, getPrototypeOf, getOwnPropertyDescriptor } = Reflect;
  return new Proxy(target, {
    get: trap(get),
    has: trap(has),
    ownKeys: trap(ownKeys as never),
    getPrototypeOf: trap(getPrototypeOf),
    getOwnPropertyDescriptor: trap(getOwnPropertyDescriptor),
  } as ProxyHandler<T>);
}

/** A value that is not a number, or not an allowed one. */
export function oddNumber(scene: Scene): unknown {
  const { dice } = scene;
  switch (dice.below(24)) {
    case 0:
      return NaN;
    case 1:
      return -0;
    case 2:
      return 2 ** 32;
    case 3:
      return 1.5;
    case 4:
      return -1;
    case 5:
      return Infinity;
    case 6:
      return BigInt(dice.below(9));
    case 7:
      return Symbol('number');
    case 8:
      return { valueOf: acting(scene, 1), toString: acting(scene, '1'), [Symbol.toPrimitive]: acting(scene, 1) };
    case 9:
      return proxy(scene, { valueOf: () => 1 });
    case 10:
      return '__proto__';
    case 11:
      return '1';
    case 12:
      return null;
    case 13:
      return undefined;
    case 14:
      return true;
    case 15:
      return [dice.below(9)];
    case 16:
      return acting(scene, 1);
    case 17:
      return 2 ** 31;
    case 18:
      return 0xffffffff;
    case 19:
      return 2 ** 53 - 1;
    case 20:
      return 2 ** 53;
    case 21:
      return Object(dice.below(9));
    case 22:
      return -(2 ** 32);
    default:
      return 2 ** 32 + dice.below(100);
  }
}

export function oddString(scene: Scene): unknown {
  const { dice } = scene;
  const words = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '\ud800',
    'a\udfff',
    '',
    'x'.repeat(65),
    '\u{1f600}'.repeat(16),
    '\0',
    '\ufeffx',
    'é'.repeat(33),
    'witness#',
    'lz4 ',
  ];
  return dice.once(3) ? oddNumber(scene) : dice.of(words);
}

/** A value that is thrown. */
export function thrown(scene: Scene): unknown {
  const { dice } = scene;
  switch (dice.below(14)) {
    case 0:
      return undefined;
    case 1:
      return null;
    case 2:
      return 'a string';
    case 3:
      return Symbol('thrown');
    case 4:
      return new CompcacheError('EIO', 'foreign', 'of a callback');
    case 5:
      return Object.assign(new Error('nothing there'), { code: 'ENOENT' });
    case 6:
      return Object.assign(new Error('full'), { code: 'ENOSPC' });
    case 7:
      return proxy(scene, new Error('a proxy'));
    case 8:
      return Object.defineProperty(new Error('x'), 'code', { get: acting(scene, 'ENOSPC') });
    case 9:
      return Object.defineProperty(new Error('x'), 'message', { get: acting(scene, 'OOM ') });
    case 10:
      return Object.create(CompcacheError.prototype);
    case 11:
      return new Proxy({}, { getPrototypeOf: () => scene.throw(), get: () => scene.throw() });
    case 12:
      return { then: acting(scene, 0) };
    default:
      return new Error('of a callback');
  }
}

/** A wrong result of a callback. */
export function answer(scene: Scene): unknown {
  const { dice } = scene;
  switch (dice.below(12)) {
    case 0:
      return Promise.resolve(4096);
    case 1:
      return Promise.reject(new Error('rejected'));
    case 2:
      return { then: (resolve: (value: unknown) => void) => (scene.later(() => resolve(1)), acting(scene, 0)()) };
    case 3:
      return Object.defineProperty({}, 'then', { get: acting(scene, undefined) });
    case 4:
      return {
        then: (resolve: (value: unknown) => void, reject: (reason: unknown) => void) => [
          resolve(1),
          reject(new Error('twice')),
          resolve(2),
        ],
      };
    case 5:
      return { then: (resolve: (value: unknown) => void) => (resolve(1), scene.throw()) };
    case 6:
      return { then: (_: unknown, reject: (reason: unknown) => void) => scene.later(() => reject(thrown(scene))) };
    case 7:
      return false;
    case 8:
      return proxy(scene, {});
    default:
      return oddNumber(scene);
  }
}

/** Options in a hostile form. */
export function options<T extends object>(scene: Scene, plain: T): T {
  const { dice } = scene;
  switch (dice.below(16)) {
    case 0:
      return proxy(scene, plain);
    case 1:
      return Object.assign(Object.create(null) as T, plain);
    case 2:
      return Object.create(plain) as T;
    case 3:
      return Object.freeze({ ...plain });
    case 4:
      return { ...plain, [dice.of(['unknown', '__proto__x', '\ud800', 'toString'])]: 1 };
    case 5:
      return { ...plain, [Symbol('unknown')]: 1 };
    case 6:
      return JSON.parse('{"__proto__": 1}') as T;
    case 7:
      return changing(scene, plain);
    case 8:
      return Object.defineProperty({ ...plain }, dice.of([...Object.keys(plain), 'unknown']), {
        get: acting(scene, undefined),
        enumerable: true,
      });
    case 9:
      return oddNumber(scene) as T;
    case 10:
      return dice.of([[], 'text', new Map(), () => 1]) as T;
    default:
      return plain;
  }
}

/** Options that have another value when they are read again. */
function changing<T extends object>(scene: Scene, plain: T): T {
  const changing = {};
  for (const [key, value] of Object.entries(plain)) {
    let reads = 0;
    const get = (): unknown => (reads++ === 0 ? value : oddNumber(scene));
    Object.defineProperty(changing, key, { get, enumerable: true });
  }
  return changing as T;
}

/** A callback that acts, throws, and returns wrong values. */
export function callback<F extends (...given: never[]) => unknown>(scene: Scene, right: F): F {
  const does = (given: never[]): unknown => {
    const { dice } = scene;
    if (dice.once(3)) scene.act();
    const nth = dice.below(12);
    if (nth === 0) scene.throw();
    if (nth === 1) return answer(scene);
    const result = right(...given);
    if (dice.once(6)) scene.act();
    if (nth === 2) scene.throw();
    return result;
  };
  return ((...given: never[]): unknown => {
    try {
      return does(given);
    } catch (thing) {
      scene.passes(thing);
      throw thing;
    }
  }) as F;
}
