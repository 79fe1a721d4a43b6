/** Faults on purpose: an RPC that fails, hangs, is slow, answers with damaged bytes, or loses its connection. */

import { type Corruption, type FaultRule, parseFaultRule } from './fault-rule.js';
import { isMessage } from './request-fields.js';
import type { RpcMessage } from './rpc.js';

/** A rule in force. */
export interface ActiveFault extends Disposable {
  /** How many calls it hit. */
  readonly hits: number;
  /** Ends the rule; `using` does it at the end of the block. */
  remove(): void;
}

class Fault implements ActiveFault {
  hits = 0;
  #seen = 0;
  readonly rule: FaultRule;
  readonly #faults: Set<Fault>;

  constructor(rule: FaultRule, faults: Set<Fault>) {
    this.rule = rule;
    this.#faults = faults;
  }

  remove(): void {
    this.#faults.delete(this);
  }

  [Symbol.dispose](): void {
    this.remove();
  }

  strikes(rpc: string, request: RpcMessage): boolean {
    const { rule } = this;
    if ((rule.rpc !== '*' && rule.rpc !== rpc) || rule.when?.(request) === false) return false;
    this.#seen += 1;
    const nth = this.#seen - (rule.after ?? 0);
    if (nth < 1 || (rule.every !== undefined && nth % rule.every !== 0)) return false;
    if (rule.times !== undefined && this.hits >= rule.times) return false;
    this.hits += 1;
    return true;
  }
}

/**
 * Faults that the emulator makes on purpose, at its property `faults`. Rules are tried in the order in which they were
 * added; the first that strikes a call decides.
 */
export class FaultInjector {
  readonly #faults = new Set<Fault>();

  /**
   * Puts a rule in force until it is removed.
   * @throws InvalidArgumentError for a rule that could not strike: an RPC, a status or a field that there is not.
   */
  add(rule: FaultRule): ActiveFault {
    const fault = new Fault(parseFaultRule(rule), this.#faults);
    this.#faults.add(fault);
    return fault;
  }

  /** Removes all rules. */
  clear(): void {
    this.#faults.clear();
  }

  /** Called by the server: the first rule that strikes this call. */
  match(rpc: string, request: RpcMessage): FaultRule | undefined {
    for (const fault of this.#faults) {
      if (fault.strikes(rpc, request)) return fault.rule;
    }
    return undefined;
  }
}

/** Payload and checksum fields of requests. */
const REQUEST_PAYLOADS = ['plaintext', 'ciphertext', 'data', 'digest'];
/** Payload and checksum fields of answers. */
const RESPONSE_PAYLOADS: readonly (readonly [payload: string, checksum: string])[] = [
  // A policy has no checksum; its etag is what must not be missing.
  ['etag', 'etag'],
  ['signature', 'signatureCrc32c'],
  ['ciphertext', 'ciphertextCrc32c'],
  ['plaintext', 'plaintextCrc32c'],
  ['pem', 'pemCrc32c'],
  ['mac', 'macCrc32c'],
  ['data', 'dataCrc32c'],
  ['sharedSecret', 'sharedSecretCrc32c'],
  ['publicKey', 'crc32cChecksum'],
];

/** Unset bytes are empty on the wire. */
const isPayload = (value: unknown): boolean =>
  value instanceof Uint8Array ? value.length > 0 : value !== undefined && value !== null;

/** The request with a byte of its payload changed. */
export function corruptRequest(request: RpcMessage): RpcMessage {
  const field = REQUEST_PAYLOADS.find((name) => isPayload(request[name]));
  return field === undefined ? request : { ...request, [field]: flip(request[field]) };
}

/** The answer, damaged as the rule says. */
export function corruptResponse(response: RpcMessage, corruption: Corruption): RpcMessage {
  // Of a resource whose name begins the same: `key1` becomes `key10`.
  if (corruption === 'name') {
    if (typeof response['name'] !== 'string') return response;
    return { ...response, name: String(response['name']).replace(/\/cryptoKeys\/[^/]+/, '$&0') };
  }
  if (corruption === 'protection-level') {
    return { ...response, protectionLevel: response['protectionLevel'] === 'HSM' ? 'SOFTWARE' : 'HSM' };
  }
  if (corruption === 'verified') {
    return Object.fromEntries(
      Object.entries(response).map(([field, value]) => [field, field.startsWith('verified') ? false : value]),
    );
  }
  const pair = RESPONSE_PAYLOADS.find(
    ([payload]) => response[payload] !== undefined && response[payload] !== null,
  );
  if (pair === undefined) return response;
  const [payload, checksum] = pair;
  // google.cloud.kms.v1.ChecksummedData: payload and checksum are inside the field.
  const inner = response[payload];
  if (payload === 'publicKey' && isMessage(inner)) {
    return { ...response, [payload]: damage(inner, { payload: 'data', checksum, corruption }) };
  }
  return damage(response, { payload, checksum, corruption });
}

function damage(
  response: RpcMessage,
  how: { readonly payload: string; readonly checksum: string; readonly corruption: Corruption },
): RpcMessage {
  const { payload, checksum, corruption } = how;
  if (corruption === 'missing-data') return { ...response, [payload]: null };
  if (corruption === 'missing-crc') return { ...response, [checksum]: null };
  if (corruption === 'response-crc') return { ...response, [checksum]: otherChecksum(response[checksum]) };
  return { ...response, [payload]: flip(response[payload]) };
}

/** Of an Int64Value, or the plain number that DecapsulateResponse has. */
function otherChecksum(checksum: unknown): unknown {
  if (typeof checksum === 'number') return (checksum ^ 1) >>> 0;
  return { value: (Number(isMessage(checksum) ? checksum['value'] : 0) ^ 1) >>> 0 };
}

function flip(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    const copy = Buffer.from(value);
    if (copy.length > 0) copy[copy.length - 1] = (copy[copy.length - 1] ?? 0) ^ 0x01;
    return copy;
  }
  if (typeof value === 'string') return value.replace('A', 'B');
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, inner instanceof Uint8Array ? flip(inner) : inner]),
    );
  }
  return value;
}
