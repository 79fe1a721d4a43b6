/** What callers pass to a running emulator, parsed once. */

import type { z } from 'zod';
import { InvalidArgumentError } from '../errors/input.js';
import { schemaSentence } from '../schema-problems.js';

/**
 * Parses an argument.
 * @throws InvalidArgumentError naming every field that is wrong.
 */
export function parseArgument<Schema extends z.ZodType>(
  operation: string,
  schema: Schema,
  argument: { readonly name: string; readonly value: unknown },
): z.output<Schema> {
  const parsed = schema.safeParse(argument.value);
  if (parsed.success) return parsed.data;
  const context = { operation, resource: 'emulator' };
  throw new InvalidArgumentError(context, schemaSentence(parsed.error, argument.name));
}
