/** A rotation policy in options and configuration, checked by the rules of its label. */

import { z } from 'zod';
import { checkPolicy } from './rotation-policy.js';

export const rotationPolicySchema = z
  .unknown()
  .transform((policy, check) => {
    if (policy === undefined) return undefined;
    const parsed = checkPolicy(policy);
    if (parsed.ok) return parsed.value;
    // What is wrong with options is put together from parts, which have no full stop of their own.
    check.addIssue({ code: 'custom', message: parsed.problem.replace(/\.$/, '') });
    return z.NEVER;
  })
  .optional();
