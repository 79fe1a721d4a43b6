/** docs/performance.md and its chart, made of results.json alone, so that neither can say anything else. */

import { readFileSync, writeFileSync } from 'node:fs';
import type { BenchResult } from './measure.js';
import { inRepository } from './repository.js';
import type { Environment, Results } from './results-file.js';

export const PAGE = 'docs/performance.md';
export const CHART = 'docs/performance.svg';
const START = '<!-- made by npm run bench:chart from tests/bench/results.json -->';
const END = '<!-- end -->';

/** Headings of the page, by the first part of the ids, in the order of the page. */
const GROUPS: ReadonlyMap<string, string> = new Map([
  ['sign', 'Signing'],
  ['batch', 'Batch signing'],
  ['verify', 'Verification'],
  ['receipts', 'Receipts'],
  ['agents', 'Agents'],
  ['envelope', 'Envelope encryption'],
  ['cold', 'Cold start'],
  ['telemetry', 'Telemetry'],
]);

export function writePerformancePage(results: Results): void {
  const page = readFileSync(inRepository(PAGE), 'utf8');
  writeFileSync(inRepository(PAGE), withResults(page, results));
  writeFileSync(inRepository(CHART), chartOf(results));
}

/** The page with what stands between its markers made anew. */
export function withResults(page: string, results: Results): string {
  const [before, rest, ...more] = page.split(START);
  const [, after, ...others] = rest?.split(END) ?? [];
  if (after === undefined || more.length > 0 || others.length > 0) {
    throw new Error(`${PAGE} has not exactly one pair of markers`);
  }
  return `${before}${START}\n\n${measuredOn(results.environment)}\n\n${tables(results)}\n\n${END}${after}`;
}

function measuredOn({ date, machine, node, openssl, packages }: Environment): string {
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  return [
    `Measured on ${date}: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}; ` +
      `Node ${node} with OpenSSL ${openssl}.`,
    `Packages: ${versions.join(', ')}.`,
  ].join('\n');
}

/** Lines by the first part of their ids. Groups without a heading come last, by their own name. */
function byGroup({ benches }: Results): ReadonlyMap<string, readonly (readonly [string, BenchResult])[]> {
  const groups = new Map<string, (readonly [string, BenchResult])[]>(
    [...GROUPS.keys()].map((group) => [group, []]),
  );
  for (const line of benches) {
    const [group = ''] = line[0].split('.');
    const lines = groups.get(group) ?? [];
    lines.push(line);
    groups.set(group, lines);
  }
  return new Map([...groups].filter(([, lines]) => lines.length > 0));
}

function tables(results: Results): string {
  return [...byGroup(results)]
    .map(([group, lines]) => {
      const rows = lines.map(
        ([id, { ours, reference, unit, ratio }]) =>
          `| \`${id}\` | ${readable(ours)} | ${readable(reference)} | ${unit} | ${readable(ratio)} |`,
      );
      return [
        `### ${GROUPS.get(group) ?? group}`,
        '',
        '| Line | a2a-kms | Reference | Unit | Ratio |',
        '| --- | ---: | ---: | --- | ---: |',
        ...rows,
      ].join('\n');
    })
    .join('\n\n');
}

/** Three significant digits, and thousands apart. */
function readable(value: number): string {
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

const WIDTH = 860;
const ROW = 18;
const TOP = 40;
const LABELS = 290;
const VALUES = 60;

/** Bars of the ratios on a logarithmic scale: to the right of the line of 1 a2a-kms is better. */
export function chartOf(results: Results): string {
  const lines = [...byGroup(results).values()].flat();
  const exponents = lines.map(([, { ratio }]) => Math.log10(ratio));
  const [low, high] = [Math.min(0, ...exponents), Math.max(0, ...exponents)];
  const scale = (WIDTH - LABELS - 2 * VALUES) / Math.max(high - low, 0.1);
  const x = (exponent: number): number => Math.round((LABELS + VALUES + (exponent - low) * scale) * 10) / 10;
  const one = x(0);
  const height = TOP + lines.length * ROW + 10;
  const bars = lines.flatMap(([id, { ratio }], index) => {
    const end = x(Math.log10(ratio));
    const y = TOP + index * ROW;
    const better = ratio >= 1;
    return [
      `<text class="label" x="${LABELS - 8}" y="${y + 12}" text-anchor="end">${escaped(id)}</text>`,
      `<rect class="${better ? 'better' : 'worse'}" x="${Math.min(one, end)}" y="${y + 3}" width="${Math.max(1, Math.round(Math.abs(end - one) * 10) / 10)}" height="${ROW - 6}"/>`,
      `<text class="label" x="${better ? end + 5 : end - 5}" y="${y + 12}" text-anchor="${better ? 'start' : 'end'}">${readable(ratio)}</text>`,
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" font-family="sans-serif">`,
    '<title>Ratios of the benches, logarithmic; above 1 a2a-kms is better than its reference</title>',
    '<style>.label{font-size:11px;fill:#444}.better{fill:#2a7f62}.worse{fill:#c2703d}.one{stroke:#888}</style>',
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text class="label" x="${one}" y="20" text-anchor="middle">1 = the reference; to the right a2a-kms is better (logarithmic)</text>`,
    `<line class="one" x1="${one}" y1="26" x2="${one}" y2="${height - 6}"/>`,
    ...bars,
    '</svg>',
    '',
  ].join('\n');
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
