/** What a zod schema found wrong with a value, one entry for each field; all messages about options and configuration are made of it. */

import type { z } from 'zod';

/** @param name what the value is called in messages; its fields follow after a dot. */
export function schemaProblems(error: z.ZodError, name?: string): { field: string; problem: string }[] {
  return error.issues.flatMap((issue) => {
    const path = [...(name === undefined ? [] : [name]), ...issue.path.map(String)];
    if (issue.code !== 'unrecognized_keys') return [{ field: path.join('.'), problem: problemOf(issue) }];
    return issue.keys.map((key) => ({ field: [...path, key].join('.'), problem: 'is not an option' }));
  });
}

/** Schemas say themselves what a field must be; that options are an object goes without saying. */
function problemOf({ code, message, ...issue }: z.core.$ZodIssue): string {
  const isUnsaid = code === 'invalid_type' && 'expected' in issue && issue.expected === 'object';
  return isUnsaid && message.startsWith('Invalid input') ? 'must be an object' : message;
}
