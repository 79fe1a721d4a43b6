/**
 * Changes labels of a key. Cloud KMS replaces the whole map at once and has no compare-and-swap, so a change is a
 * function of what is there: it is applied to what was just read, read back, and applied again until it changes nothing.
 */

import { ConcurrentChangeError } from '../errors/keys.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { Labels } from '../keys/version-history.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import type { KeyRecord } from './resources.js';
import type { RpcCall } from './rpc-caller.js';

/** Times the labels are written again when another process wrote them in between. */
const MAX_WRITES = 5;

/**
 * Applies the change until it has nothing left to change: it gives the labels as they should be. A write is never
 * repeated with labels that were read before a failure: by then they may undo what another process wrote.
 */
export async function changeLabels(
  core: KmsCore,
  operation: Operation,
  name: CryptoKeyName,
  change: (key: KeyRecord) => Labels,
): Promise<KeyRecord> {
  let failures = 0;
  for (let writes = 0; ; ) {
    const key = await core.reader.getKey(operation, name);
    const labels = change(key);
    if (isSame(labels, key.labels)) return key;
    if (writes === MAX_WRITES) throw new ConcurrentChangeError(operation.context());
    const call: RpcCall<'updateCryptoKey'> = {
      rpc: 'updateCryptoKey',
      request: { cryptoKey: { name, labels: { ...labels } }, updateMask: { paths: ['labels'] } },
      routeBy: ['crypto_key.name', name],
    };
    const outcome = await core.caller.callOnce(operation, call, failures + 1);
    if (outcome.kind === 'done') writes += 1;
    else failures += 1;
  }
}

/** Whether the labels are the same, in whatever order. */
export function isSame(a: Labels, b: Labels): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}
