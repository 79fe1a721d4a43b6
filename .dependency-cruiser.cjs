/** The direction of dependency between the folders of src, as docs/architecture.md draws it. Arrows only ever point down. */

/** Files that import nothing of ours and that most folders may import. */
const leaves = [
  'bounded.ts',
  'clock.ts',
  'crc32c.ts',
  'durable-files.ts',
  'errors/',
  'file-lock.ts',
  'logger.ts',
  'merkle.ts',
  'schema-problems.ts',
];

/** What a folder or file may import besides itself; everything else in src is refused. A test compares it with the page. */
const allowed = [
  ...leaves.map((leaf) => ({ from: leaf, to: [] })),
  { from: 'keys/', to: [] },
  { from: 'attestation/', to: ['errors/', 'schema-problems.ts'] },
  { from: 'provider/', to: [...leaves, 'attestation/', 'keys/'] },
  { from: 'identity/', to: [...leaves, 'keys/', 'provider/'] },
  { from: 'telemetry/', to: ['errors/', 'keys/', 'provider/'] },
  {
    from: 'config/',
    to: [
      ...[...leaves, 'attestation/', 'keys/', 'provider/observer.ts', 'telemetry/load.ts'],
      'identity/endorsement-validity.ts',
    ],
  },
  { from: 'audit/', to: [...leaves, 'config/audit-config.ts', 'identity/', 'keys/', 'provider/'] },
  {
    from: 'kms/',
    to: [...leaves, 'attestation/', 'audit/', 'config/', 'keys/', 'provider/', 'telemetry/'],
  },
  { from: 'software/', to: [...leaves, 'audit/', 'config/', 'keys/', 'provider/', 'telemetry/'] },
  { from: 'archive/', to: ['durable-files.ts', 'errors/', 'identity/', 'keys/', 'schema-problems.ts'] },
  { from: 'hierarchy/', to: [...leaves, 'config/agent-config.ts', 'identity/', 'keys/', 'provider/'] },
  { from: 'envelope/', to: [...leaves, 'keys/', 'provider/'] },
  { from: 'batch/', to: [...leaves, 'identity/', 'keys/', 'provider/'] },
  { from: 'access/', to: ['errors/', 'hierarchy/', 'keys/', 'provider/'] },
  { from: 'replication/', to: [...leaves, 'keys/', 'provider/'] },
  { from: 'lifecycle/', to: [...leaves, 'attestation/', 'hierarchy/', 'keys/', 'provider/'] },
  {
    from: 'migration/',
    to: [
      ...[...leaves, 'attestation/', 'config/flags.ts', 'hierarchy/', 'identity/', 'keys/', 'lifecycle/'],
      'provider/',
    ],
  },
  {
    from: 'compliance/',
    to: [...leaves, 'attestation/', 'hierarchy/', 'keys/', 'kms/', 'provider/', 'software/'],
  },
  {
    from: 'provider-selection.ts',
    to: [
      ...[...leaves, 'config/', 'keys/', 'kms/', 'migration/', 'replication/', 'software/'],
      'watched-providers.ts',
    ],
  },
  { from: 'watched-providers.ts', to: ['config/kms-config.ts', 'keys/', 'kms/', 'software/'] },
  { from: 'audited-keys.ts', to: ['audit/', 'config/', 'keys/'] },
  { from: 'exchange-stats.ts', to: ['audit/', 'envelope/', 'provider/', 'replication/', 'telemetry/'] },
  {
    from: 'emulator/',
    to: [
      ...['clock.ts', 'crc32c.ts', 'durable-files.ts', 'errors/', 'file-lock.ts', 'keys/'],
      'schema-problems.ts',
    ],
  },
];

/** Parts of the configuration that folders below `config/` read import less than the rest of it. */
const partsOfConfig = [
  { from: 'config/access-config.ts', to: ['keys/'] },
  { from: 'config/audit-config.ts', to: ['logger.ts'] },
  { from: 'config/flags.ts', to: ['errors/'] },
  { from: 'config/quota-config.ts', to: ['keys/'] },
  { from: 'config/replication-config.ts', to: [] },
  { from: 'config/software-config.ts', to: ['errors/'] },
];

const source = (entry) => `^src/${entry.replaceAll('.', '\\.')}${entry.endsWith('/') ? '' : '$'}`;

module.exports = {
  forbidden: [
    ...[...allowed, ...partsOfConfig].map(({ from, to }) => ({
      name: `${from.replace(/\/$|\.ts$/, '')}-imports-only-what-is-below`,
      comment: `src/${from} may import ${to.length === 0 ? 'nothing of ours' : to.map((entry) => `src/${entry}`).join(', ')}`,
      severity: 'error',
      from: { path: source(from) },
      to: { path: '^src/', pathNot: [source(from), ...to.map(source)] },
    })),
    {
      name: 'sdk-never-imports-the-emulator',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/emulator/' },
      to: { path: '^src/emulator/' },
    },
    {
      name: 'facade-is-imported-only-from-above',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/index\\.ts$' },
      to: { path: '^src/a2a-key-exchange\\.ts$' },
    },
    {
      name: 'nothing-imports-the-public-api',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/index\\.ts$' },
    },
    {
      name: 'providers-never-know-agents',
      severity: 'error',
      from: { path: '^src/(kms|software|emulator|provider)/' },
      to: { path: '^src/keys/agent-key-name\\.ts$' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-undeclared-packages',
      comment: 'only what package.json lists under dependencies is there in an installed package',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown'],
        dependencyTypesNot: ['type-only'],
      },
    },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
