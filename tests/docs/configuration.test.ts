/** The tables of README.md name every option of the two configurations, and nothing else. */

import { readFileSync } from 'node:fs';
import type ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { loadPublicApi } from '../support/public-api.js';

const { checker, exports } = loadPublicApi();
const readme = readFileSync('README.md', 'utf8');

function optionsOf(name: string): ReadonlyMap<string, ts.Symbol> {
  const found = exports.find((exported) => exported.name === name);
  if (found === undefined) throw new Error(`${name} is not exported`);
  const options = checker.getDeclaredTypeOfSymbol(found.symbol).getProperties();
  return new Map(options.map((option) => [option.name, option]));
}

/** The members of an option that is an object, as the table would write them. */
function membersOf(option: ts.Symbol): string[] {
  const members = checker.getNonNullableType(checker.getTypeOfSymbol(option)).getProperties();
  return members.map((member) => `${option.name}.${member.name}`);
}

/** The names in the first column of the table under a heading. */
function namesUnder(heading: string): string[] {
  const [, section = ''] = readme.split(`### ${heading}\n`);
  const [table = ''] = section.split(/^#/m);
  return [...table.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  );
}

const client = optionsOf('KMSConfig');
const exchange = new Map([...optionsOf('A2AKeyExchangeConfig')].filter(([name]) => !client.has(name)));

describe.each([
  { heading: 'Of `KMSClient` and `A2AKeyExchange`', options: client, atLeast: 20 },
  { heading: 'Of `A2AKeyExchange` only', options: exchange, atLeast: 10 },
])('the table "$heading" of README.md', ({ heading, options, atLeast }) => {
  const names = namesUnder(heading);

  it('names each option once, and nothing else', () => {
    expect(options.size).toBeGreaterThan(atLeast);
    expect(names.toSorted()).toEqual([...new Set(names)].toSorted());
    expect([...new Set(names.map((name) => name.split('.')[0]))].toSorted()).toEqual(
      [...options.keys()].toSorted(),
    );
  });

  it('names all members of an option where it names one', () => {
    for (const option of options.values()) {
      const named = names.filter((name) => name.startsWith(`${option.name}.`));
      if (named.length > 0) expect(named.toSorted()).toEqual(membersOf(option).toSorted());
    }
  });
});
