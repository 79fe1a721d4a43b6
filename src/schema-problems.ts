/** What a zod schema found wrong with a value, one entry for each field; all messages about options and configuration are made of it. */

import type { z } from 'zod';

interface SchemaProblem {
  readonly field: string;
  readonly problem: string;
}

/** @param name what the value is called in messages; its fields follow after a dot. */
export function schemaProblems(error: z.ZodError, name?: string): SchemaProblem[] {
  return problemsIn(error.issues, name === undefined ? [] : [name]);
}

/** All that is wrong, as one sentence for an error about an argument. @param name what the value is called. */
export function schemaSentence(error: z.ZodError, name: string): string {
  return `${schemaProblems(error, name)
    .map(({ field, problem }) => `${field} ${problem}`)
    .join('; ')}.`;
}

function problemsIn(issues: readonly z.core.$ZodIssue[], above: readonly string[]): SchemaProblem[] {
  return issues.flatMap((issue) => {
    const path = [...above, ...issue.path.map(String)];
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({ field: [...path, key].join('.'), problem: 'is not an option' }));
    if (issue.code === 'invalid_key') return problemsIn(issue.issues, path);
    const meant = issue.code === 'invalid_union' ? meantBranch(issue.errors) : undefined;
    return meant === undefined
      ? [{ field: path.join('.'), problem: problemOf(issue) }]
      : problemsIn(meant, path);
  });
}

/** Of what a field may be, the one form that the value has: what is wrong inside of it says more than that it is none of them. */
function meantBranch(branches: readonly z.core.$ZodIssue[][]): readonly z.core.$ZodIssue[] | undefined {
  const [meant, ...others] = branches.filter((issues) => !issues.some(isOfAnotherForm));
  return others.length === 0 ? meant : undefined;
}

function isOfAnotherForm(issue: z.core.$ZodIssue): boolean {
  // A union that has no branch for the value of its discriminator.
  if (issue.code === 'invalid_union' && issue.errors.length === 0) return true;
  return issue.path.length === 0 && issue.code !== 'unrecognized_keys';
}

/** What schemas leave unsaid because the type says it all. */
const BY_TYPE: ReadonlyMap<string, string> = new Map([
  ['object', 'must be an object'],
  ['record', 'must be an object'],
  ['array', 'must be a list'],
  ['string', 'must be a string'],
  ['number', 'must be a number'],
  ['boolean', 'must be true or false'],
  ['date', 'must be a date'],
]);

function problemOf({ code, message, ...issue }: z.core.$ZodIssue): string {
  if (code !== 'invalid_type' || !message.startsWith('Invalid input') || !('expected' in issue))
    return message;
  return BY_TYPE.get(issue.expected) ?? message;
}
