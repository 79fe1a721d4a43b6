/**
 * Where agents' private keys may be: the feature flags, the phase of a migration, and what their combinations mean. The
 * configuration and the environment decide, by name and at the start; no failure ever leads from the HSM to software.
 */

import type { ConfigProblem } from '../errors/input.js';

/** The environment variables of the flags. */
const FLAG_VARIABLES = {
  enableHsmKeys: 'ENABLE_HSM_KEYS',
  useSoftwareKeys: 'USE_SOFTWARE_KEYS',
} as const;

/**
 * 1: new agents get HSM keys, software agents go on. 2: software agents may be migrated. 3: software keys only verify and
 * decrypt. 4: the software store is not opened.
 */
export type MigrationPhase = 1 | 2 | 3 | 4;

/** 90 days: as long as a migration can be taken back. */
export const RETENTION_DEFAULT_DAYS = 90;

/** What of the configuration takes part. */
interface FlagFields<Store> {
  readonly enableHsmKeys?: boolean | undefined;
  readonly useSoftwareKeys?: boolean | undefined;
  readonly softwareKeys: 'allowed' | 'forbidden';
  readonly softwareKeyStore?: Store | undefined;
  readonly migration?: { readonly phase: MigrationPhase; readonly retentionDays: number } | undefined;
  readonly publicKeyArchive?: object | undefined;
}

/** What the configuration amounts to. */
export type KeySource<Store> =
  /** Cloud KMS and nothing else. */
  | { readonly kind: 'hsm' }
  /** Cloud KMS, and the software store beside it as far as the phase goes. */
  | {
      readonly kind: 'migration';
      readonly phase: MigrationPhase;
      readonly retentionDays: number;
      readonly softwareKeys: 'allowed' | 'forbidden';
      readonly store: Store | undefined;
    }
  /** The software store and nothing else, whatever the phase: before a migration, or in its emergency rollback. */
  | { readonly kind: 'software'; readonly store: Store; readonly hsmKeys: 'none' | 'switched-off' };

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads flags, phase and store. Every problem is added to the list; the source is only there without one. */
export function resolveKeySource<Store>(
  fields: FlagFields<Store>,
  environment: Environment,
  problems: ConfigProblem[],
): KeySource<Store> | undefined {
  const before = problems.length;
  const hsm = flag('enableHsmKeys', fields.enableHsmKeys, { environment, problems, fallback: 'on' });
  const software = flag('useSoftwareKeys', fields.useSoftwareKeys, {
    environment,
    problems,
    fallback: 'off',
  });
  if (problems.length > before) return undefined;
  const add = (field: string, problem: string): undefined => void problems.push({ field, problem });
  const { migration, softwareKeys, softwareKeyStore: store } = fields;

  if (software.on && softwareKeys === 'forbidden') {
    return add(software.name, 'software keys are switched on, and softwareKeys is "forbidden"');
  }
  if (!hsm.on && !software.on) {
    return add(
      hsm.name,
      `HSM keys are switched off and software keys are not switched on; nothing could sign. Set ${software.name} to true to use software keys`,
    );
  }
  if (!hsm.on) {
    if (store === undefined)
      return add('softwareKeyStore', 'is required where software keys are switched on');
    return { kind: 'software', store, hsmKeys: migration === undefined ? 'none' : 'switched-off' };
  }
  if (migration === undefined && !software.on) return { kind: 'hsm' };
  const { phase, retentionDays } = migration ?? { phase: 1, retentionDays: RETENTION_DEFAULT_DAYS };
  if (phase <= 2 && !software.on) {
    add(
      software.name,
      `software keys sign in migration.phase ${phase} and have to be switched on for it; from phase 3 on they do not sign`,
    );
  }
  if (phase <= 3 && store === undefined) {
    add('softwareKeyStore', `is required in migration.phase ${phase}; from phase 4 on it is not opened`);
  }
  if (fields.publicKeyArchive === undefined) {
    add('publicKeyArchive', 'is required for a migration: public keys go there before anything changes');
  }
  if (problems.length > before) return undefined;
  return { kind: 'migration', phase, retentionDays, softwareKeys, store };
}

interface Flag {
  readonly on: boolean;
  /** The field or the variable that it came from, for what is said about it. */
  readonly name: string;
}

function flag(
  field: keyof typeof FLAG_VARIABLES,
  configured: boolean | undefined,
  context: {
    readonly environment: Environment;
    readonly problems: ConfigProblem[];
    readonly fallback: 'on' | 'off';
  },
): Flag {
  const variable = FLAG_VARIABLES[field];
  if (configured !== undefined) return { on: configured, name: field };
  const text = context.environment[variable];
  if (text === undefined) return { on: context.fallback === 'on', name: variable };
  if (text !== 'true' && text !== '1' && text !== 'false' && text !== '0') {
    context.problems.push({
      field: variable,
      problem: `must be true, false, 1 or 0, got ${JSON.stringify(text.slice(0, 100))}`,
    });
  }
  return { on: text === 'true' || text === '1', name: variable };
}
