/** The numbers that a front end gives to foreign codecs. */
import { expect, test } from 'vitest';
import { ForeignCodec } from '../../bindings/codec/foreign.ts';
import { ForeignCodecs } from '../../bindings/front/common/codecs.ts';
import { codeOf } from './pages.ts';

test('foreign codecs keep their numbers, up to the last number', () => {
  const codec = (name: string): ForeignCodec =>
    new ForeignCodec('op', { name, compress: () => 0, decompress: () => 0 });
  const codecs = new ForeignCodecs();
  const [a, b] = [codec('a'), codec('b')];
  const first = codecs.numberOf('op', a);
  codecs.keep(first, a);
  expect(codecs.numberOf('op', b)).toBe(first + 1);
  codecs.keep(first, b); // that number is taken
  expect([codecs.nameOf(first), codecs.numberOf('op', a), codecs.has(first), codecs.has(first + 1)]).toEqual([
    'a',
    first,
    true,
    false,
  ]);
  let last = first;
  for (let n = 1; n < 254; n++) codecs.keep((last = codecs.numberOf('op', codec(`c${n}`)) || last), codec(`c${n}`));
  expect(last).toBe(first + 253);
  expect(codeOf(() => codecs.numberOf('op', b))).toBe('EBUSY');
  expect(codecs.numberOf('op', a)).toBe(first);
});
