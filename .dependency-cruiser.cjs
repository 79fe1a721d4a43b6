/** The direction of dependency between the folders of src, as docs/architecture.md draws it. Arrows only ever point down. */

/** What a folder may import besides itself; everything else in src is refused. */
const allowed = [
  { from: 'keys/', to: [] },
  { from: 'clock.ts', to: [] },
  { from: 'logger.ts', to: [] },
  { from: 'crc32c.ts', to: [] },
  { from: 'merkle.ts', to: [] },
  { from: 'errors.ts', to: [] },
  { from: 'bounded.ts', to: [] },
  {
    from: 'config/',
    to: [
      ...['clock.ts', 'errors.ts', 'logger.ts'],
      ...[
        'attestation/',
        'identity/endorsement-validity.ts',
        'keys/',
        'provider/observer.ts',
        'telemetry/load.ts',
      ],
    ],
  },
  { from: 'config/quota-config.ts', to: ['keys/'] },
  { from: 'config/software-config.ts', to: ['errors.ts'] },
  { from: 'config/flags.ts', to: ['errors.ts'] },
  { from: 'provider/', to: ['clock.ts', 'errors.ts', 'keys/'] },
  { from: 'config/audit-config.ts', to: ['logger.ts'] },
  {
    from: 'audit/',
    to: [
      ...['config/audit-config.ts', 'clock.ts', 'errors.ts', 'logger.ts', 'merkle.ts'],
      ...['identity/', 'keys/', 'provider/'],
    ],
  },
  { from: 'telemetry/', to: ['errors.ts', 'keys/', 'provider/'] },
  {
    from: 'kms/',
    to: [
      'attestation/',
      'clock.ts',
      'config/',
      'crc32c.ts',
      'errors.ts',
      'keys/',
      'logger.ts',
      'audit/',
      'provider/',
      'telemetry/',
    ],
  },
  {
    from: 'software/',
    to: [
      'clock.ts',
      'config/',
      'errors.ts',
      'keys/',
      'logger.ts',
      'audit/',
      'provider/',
      'config/software-config.ts',
      'config/audit-config.ts',
      'telemetry/',
    ],
  },
  { from: 'identity/', to: ['clock.ts', 'errors.ts', 'keys/', 'provider/'] },
  {
    from: 'hierarchy/',
    to: ['clock.ts', 'config/', 'errors.ts', 'identity/', 'keys/', 'provider/'],
  },
  {
    from: 'batch/',
    to: [...['clock.ts', 'errors.ts', 'merkle.ts'], ...['keys/', 'identity/', 'provider/']],
  },
  { from: 'attestation/', to: ['errors.ts'] },
  { from: 'config/replication-config.ts', to: [] },
  { from: 'config/access-config.ts', to: ['keys/'] },
  { from: 'access/', to: ['errors.ts', 'hierarchy/', 'keys/', 'provider/'] },
  { from: 'replication/', to: ['clock.ts', 'errors.ts', 'keys/', 'logger.ts', 'provider/'] },
  { from: 'archive/', to: ['errors.ts', 'identity/', 'keys/'] },
  {
    from: 'lifecycle/',
    to: ['bounded.ts', 'clock.ts', 'errors.ts', 'hierarchy/', 'keys/', 'logger.ts'],
  },
  {
    from: 'migration/',
    to: [
      ...['bounded.ts', 'clock.ts', 'errors.ts', 'config/flags.ts', 'logger.ts'],
      ...['hierarchy/', 'identity/', 'keys/', 'lifecycle/', 'provider/'],
    ],
  },
  {
    from: 'compliance/',
    to: ['bounded.ts', 'clock.ts', 'errors.ts', 'hierarchy/', 'keys/', 'kms/', 'software/'],
  },
  { from: 'emulator/', to: ['clock.ts', 'crc32c.ts', 'keys/', 'logger.ts'] },
];

const source = (entry) => `^src/${entry.replaceAll('.', '\\.')}${entry.endsWith('/') ? '' : '$'}`;

module.exports = {
  forbidden: [
    ...allowed.map(({ from, to }) => ({
      name: `${from.replace(/\/$|\.ts$/, '')}-imports-only-what-is-below`,
      comment: `src/${from} may import ${to.length === 0 ? 'nothing of ours' : to.map((entry) => `src/${entry}`).join(', ')}`,
      severity: 'error',
      from: { path: source(from) },
      to: { path: '^src/', pathNot: [source(from), ...to.map(source)] },
    })),
    {
      name: 'sdk-never-imports-the-emulator',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(emulator|cli)/' },
      to: { path: '^src/emulator/' },
    },
    {
      name: 'facade-is-imported-only-from-above',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(index\\.ts$|cli/)' },
      to: { path: '^src/a2a-key-exchange\\.ts$' },
    },
    {
      name: 'nothing-imports-the-public-api-but-the-cli',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
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
