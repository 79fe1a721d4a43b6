/** Messages about options name the field and say what it must be, also where it may have several forms. */

import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { schemaProblems } from '../src/schema-problems.js';

const place = z.strictObject({ city: z.string(), floors: z.array(z.int('must be whole')).optional() });
const schema = z.strictObject({
  where: z
    .union([z.enum(['here', 'there']), place, z.array(place)], 'must be here, there or places')
    .optional(),
  kind: z
    .union(
      [
        z.custom<() => void>((value) => typeof value === 'function'),
        z.discriminatedUnion('type', [
          z.strictObject({ type: z.literal('a'), size: z.number() }),
          z.strictObject({ type: z.literal('b') }),
        ]),
      ],
      'must be an a, a b or a function',
    )
    .optional(),
  prices: z
    .record(
      z.string().refine((key) => key.length === 1, 'is not a letter'),
      z.number(),
    )
    .optional(),
  open: z.boolean().optional(),
  since: z.date().optional(),
});

const problemsOf = (value: unknown): string[] => {
  const { error } = schema.safeParse(value);
  return error === undefined
    ? []
    : schemaProblems(error, 'house').map(({ field, problem }) => `${field} ${problem}`);
};

describe('problems of a schema', () => {
  it.each([
    ['what is no object', 'x', ['house must be an object']],
    ['an unknown field', { wher: 'here' }, ['house.wher is not an option']],
    [
      'other types',
      { open: 1, since: 2 },
      ['house.open must be true or false', 'house.since must be a date'],
    ],
    ['none of the forms', { where: 5 }, ['house.where must be here, there or places']],
    ['a field of the one form that it has', { where: { city: 1 } }, ['house.where.city must be a string']],
    [
      'an unknown field of that form',
      { where: { city: 'x', lift: 1 } },
      ['house.where.lift is not an option'],
    ],
    [
      'an entry of a list',
      { where: [{ city: 'x', floors: ['1'] }, {}] },
      ['house.where.0.floors.0 must be whole', 'house.where.1.city must be a string'],
    ],
    ['a list that is none', { where: { city: 'x', floors: {} } }, ['house.where.floors must be a list']],
    ['a kind that is none', { kind: { type: 'c' } }, ['house.kind must be an a, a b or a function']],
    ['a kind without type', { kind: {} }, ['house.kind must be an a, a b or a function']],
    ['a field of a kind', { kind: { type: 'a', size: '1' } }, ['house.kind.size must be a number']],
    ['a key of a map', { prices: { FOO: 1 } }, ['house.prices.FOO is not a letter']],
    ['a map that is none', { prices: 3 }, ['house.prices must be an object']],
  ])('names %s', (_, value, problems) => {
    expect(problemsOf(value)).toEqual(problems);
  });
});
