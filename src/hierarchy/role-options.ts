/** Options of calls about one of an agent's keys. */

import { z } from 'zod';
import { callShape } from '../provider/call-input.js';

export const agentKeyRole = z
  .enum(['signing', 'encryption'], 'must be signing or encryption')
  .default('signing');

export const roleOptions = z.strictObject({ ...callShape, role: agentKeyRole });
