import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createDefaultLogger } from '../src/logger.js';

const logger = join(import.meta.dirname, '../src/logger.ts');

it('the default logger writes warnings and errors to standard error, and nothing to standard output', () => {
  const script = `
    import { createDefaultLogger } from ${JSON.stringify(logger)};
    const logger = createDefaultLogger();
    logger.debug({}, 'a detail');
    logger.info({}, 'some news');
    logger.warn({ agent: 'bot' }, 'a warning');
    logger.error({}, 'an error');
  `;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', script],
    { encoding: 'utf8' },
  );
  expect(stdout).toBe('');
  const lines = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line): { msg: string } => JSON.parse(line));
  expect(lines.map(({ msg }) => msg)).toEqual(['a warning', 'an error']);
  expect(lines[0]).toMatchObject({ name: 'a2a-kms', agent: 'bot' });
});

it('the default logger drops details and news', () => {
  const { debug, info } = createDefaultLogger();
  expect([debug({}, 'a detail'), info({}, 'some news')]).toEqual([undefined, undefined]);
});
