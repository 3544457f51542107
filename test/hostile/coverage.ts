/** The methods of the public API, and those that the generator has. */
import { ASYNC_DISPOSE, DISPOSE } from '../../bindings/dispose.ts';
import type { Classes } from './play.ts';

function named(type: string, key: string | symbol): string {
  if (typeof key === 'string') return `${type}.${key}`;
  return key === DISPOSE
    ? `${type}[dispose]`
    : key === ASYNC_DISPOSE
      ? `${type}[asyncDispose]`
      : `${type}[${String(key)}]`;
}

/**
 * Everything that can be called of a class: its constructor, its static methods, and the methods of its objects;
 * setters end with '='.
 */
export function callable(type: string, constructor: { prototype: object }): string[] {
  const names: string[] = [];
  const inherited: object[] = [];
  for (let at = constructor.prototype; at !== Object.prototype; at = Object.getPrototypeOf(at) as object)
    inherited.push(at);
  for (const key of inherited.flatMap((prototype) => Reflect.ownKeys(prototype))) {
    const of = inherited
      .map((prototype) => Object.getOwnPropertyDescriptor(prototype, key))
      .find((property) => property !== undefined) as PropertyDescriptor;
    if (of.set === undefined || of.get !== undefined) names.push(named(type, key));
    if (of.set !== undefined) names.push(`${named(type, key)}=`);
  }
  for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(constructor)))
    if (typeof value === 'function') names.push(named(type, key));
  return [...new Set(names)].sort();
}

/** The calls that the generator has of a class. */
export function known(classes: Classes, type: string): string[] {
  return (classes.get(type) ?? []).map(({ name }) => name).sort();
}
