/**
 * The command of an auditor: verifies a copy of a trail offline. What it was given and cannot use ends it, since a verdict
 * without the anchor or the keys that were meant would be another one. `main.ts` gives it the process.
 */

import { createReadStream, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { AuditAnchor } from './audit-trail.js';
import type { AuditVerification } from './audit-verification.js';
import type { AuditKeys, VerifyAuditTrailOptions } from './verification-input.js';
import { verifyAuditTrail } from './verify-audit-trail.js';

export const USAGE = `Usage: a2a-kms-verify-audit [options] TRAIL KEYS

Verifies a copy of an audit trail, without any call.

  TRAIL            file with the lines; - for standard input, as for several files one after the other
  KEYS             file with the public keys of the audit key: a JWK Set, a JWK, a list of JWKs, or a PEM

  --anchor ANCHOR  a line that has to be there: WRITER:SEQUENCE:SHA256, or a JSON file with an anchor or a list of them;
                   may be repeated. Without one, lines that were cut off at the end do not show
  --format FORMAT  lines, the default, or pino for the log of a logger
  --json           print the whole result as JSON
  --help           show this text

Exit status: 0 for the verdict valid, 1 for any other verdict, 2 if nothing was verified.
`;

/** What the command reads and writes, besides the files that it is given. */
interface Terminal {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

type Command =
  | {
      readonly kind: 'verify';
      readonly trail: string;
      readonly options: VerifyAuditTrailOptions;
      readonly asJson: boolean;
    }
  | { readonly kind: 'help' }
  | { readonly kind: 'refuse'; readonly problem: string };

/** Runs the command and returns its exit status. */
export async function runVerifyAudit(args: readonly string[], terminal: Terminal): Promise<0 | 1 | 2> {
  const { stdin, stdout, stderr } = terminal;
  const command = parseCommandLine(args);
  if (command.kind === 'help') {
    stdout.write(USAGE);
    return 0;
  }
  if (command.kind === 'refuse') {
    stderr.write(`${printable(command.problem)}\n\n${USAGE}`);
    return 2;
  }
  const { trail, options, asJson } = command;
  try {
    const verified = await verifyAuditTrail(trail === '-' ? stdin : createReadStream(trail), options);
    stdout.write(asJson ? `${JSON.stringify(verified, undefined, 2)}\n` : textOf(verified));
    if (options.expectedLast === undefined)
      stderr.write('No --anchor was given: lines that were cut off at the end do not show.\n');
    return verified.verdict === 'valid' ? 0 : 1;
  } catch (error) {
    stderr.write(`${printable(messageOf(error))}\n`);
    return 2;
  }
}

function parseCommandLine(args: readonly string[]): Command {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        anchor: { type: 'string', multiple: true },
        format: { type: 'string', default: 'lines' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean' },
      },
    });
    if (values.help) return { kind: 'help' };
    const [trail, keys, ...others] = positionals;
    if (trail === undefined || keys === undefined || others.length > 0)
      throw new TypeError(
        `TRAIL and KEYS are required and nothing else, got ${positionals.length} arguments`,
      );
    const format = (['lines', 'pino'] as const).find((name) => name === values.format);
    if (format === undefined) throw new TypeError('--format takes lines or pino');
    const options = { auditKeys: readKeys(keys), expectedLast: values.anchor?.flatMap(readAnchors), format };
    return { kind: 'verify', trail, options, asJson: values.json };
  } catch (error) {
    return { kind: 'refuse', problem: messageOf(error) };
  }
}

/** What is in the file is for `verifyAuditTrail` to check. */
function readKeys(path: string): AuditKeys {
  const text = readFileSync(path, 'utf8');
  return text.startsWith('-----BEGIN') ? text : JSON.parse(text);
}

function readAnchors(text: string): readonly AuditAnchor[] {
  const [, writer, sequence, sha256] = /^(.+):([0-9]{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (writer !== undefined && sequence !== undefined && sha256 !== undefined)
    return [{ writer, sequence: Number(sequence), sha256 }];
  try {
    const anchors = JSON.parse(readFileSync(text, 'utf8'));
    if (!Array.isArray(anchors)) return [anchors];
    if (anchors.length > 0) return anchors;
  } catch (error) {
    throw new TypeError(`--anchor takes WRITER:SEQUENCE:SHA256 or a JSON file: ${messageOf(error)}`);
  }
  throw new TypeError(`--anchor ${text} is a list without an anchor`);
}

function textOf({ verdict, lines, problems, moreProblems, chains }: AuditVerification): string {
  const text = [
    `${verdict}: ${lines} lines`,
    ...chains.flatMap((chain) => [
      `${chain.writer}: ${chain.events} events, ${chain.checkpoints} checkpoints, signed through ${chain.signedThrough}, ${chain.unsigned} lines unsigned, ${chain.signedLater} signed later, ${chain.lostEvents} events lost, ${chain.tornLines} lines torn`,
      `  last line ${chain.last.writer}:${chain.last.sequence}:${chain.last.sha256}`,
      ...chain.signers.map(({ kid, protectionLevel }) => `  signed by ${kid} (${protectionLevel})`),
    ]),
    ...problems.map(({ kind, message }) => `${kind}: ${message}`),
    ...(moreProblems > 0 ? [`and ${moreProblems} more problems`] : []),
  ];
  return `${text.map(printable).join('\n')}\n`;
}

/** Whoever can write to the trail must not write lines of the report, nor command the terminal. */
const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd');

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
