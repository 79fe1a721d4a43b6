/**
 * An audit trail from the first line to an auditor's verdict: what is in it, what verifying it takes, and what becomes of a
 * line that somebody changes. It talks to an emulator that it starts itself. `a2a-kms-verify-audit` verifies a file of yours.
 */

import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { A2AKeyExchange, type AuditVerification, verifyAuditTrail } from 'a2a-kms';
import { startKmsEmulator } from 'a2a-kms/emulator';

function show({ verdict, lines, problems, chains }: AuditVerification): void {
  console.log(`  ${verdict}: ${lines} lines`);
  for (const { writer, events, checkpoints, unsigned, signedLater, lostEvents, signers } of chains) {
    console.log(
      `  ${writer}: ${events} events, ${checkpoints} checkpoints, ${unsigned} lines unsigned, ${signedLater} signed later, ${lostEvents} events lost`,
    );
    for (const { kid, protectionLevel } of signers) console.log(`  signed by ${kid} (${protectionLevel})`);
  }
  for (const { kind, message } of problems) console.log(`  ${kind}: ${message}`);
}

async function demonstrate(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'a2a-kms-audit-'));
  const path = join(folder, 'audit.jsonl');
  const emulator = await startKmsEmulator();
  const exchange = new A2AKeyExchange({
    projectId: 'demo-project',
    locationId: 'europe-west3',
    keyRingId: 'agents',
    emulatorHost: emulator.endpoint,
    audit: { sink: { type: 'file', path }, writerId: 'signer-1', failClosed: true },
  });
  try {
    await exchange.initialize();
    await exchange.generateAgentKey('invoice-bot');
    const message = Buffer.from('pay 10 EUR to alice');
    await exchange.signMessage('invoice-bot', message, { reason: 'ticket 4711', correlationId: 'order-9' });
    await exchange.signMessage('nobody', message).catch(() => {});
    const auditKeys = { keys: await exchange.hierarchy.getAuditJwks() };
    await exchange.close();
    const expectedLast = exchange.audit?.anchor();

    const lines = readFileSync(path, 'utf8').split('\n');
    const signature = lines.findIndex((line) => line.includes('ticket 4711'));
    console.log('The event of a signature:');
    console.log(JSON.stringify(JSON.parse(lines[signature] ?? ''), undefined, 2));
    console.log('The trail as it was written:');
    show(await verifyAuditTrail(createReadStream(path), { auditKeys, expectedLast }));
    console.log('With another reason in that event:');
    writeFileSync(path, lines.with(signature, (lines[signature] ?? '').replace('4711', '4712')).join('\n'));
    show(await verifyAuditTrail(createReadStream(path), { auditKeys, expectedLast }));
    console.log('Without that event:');
    writeFileSync(path, lines.toSpliced(signature, 1).join('\n'));
    show(await verifyAuditTrail(createReadStream(path), { auditKeys, expectedLast }));
    console.log('Cut off before it, against the anchor that was kept elsewhere:');
    writeFileSync(path, `${lines.slice(0, signature).join('\n')}\n`);
    show(await verifyAuditTrail(createReadStream(path), { auditKeys, expectedLast }));
  } finally {
    await exchange.close();
    await emulator.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv.length > 2) {
  console.error(
    'The example takes no arguments. To verify a file of yours: npx a2a-kms-verify-audit TRAIL KEYS',
  );
  process.exitCode = 2;
} else await demonstrate();
