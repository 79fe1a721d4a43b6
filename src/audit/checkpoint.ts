/** The signature over a section of a chain, made by the audit key and checked with its public key. */

import { decodeBase64url, encodeBase64url } from '../identity/base64url.js';
import type { JosePublicKey } from '../identity/jwk.js';
import { type JwsSigner, peekJwsHeader, signCompactJws, verifyCompactJws } from '../identity/jws.js';
import { MASTER_KEY_IDS } from '../keys/master-key-name.js';
import type { Canonicalize } from './canonical-json.js';
import type { Section } from './chain.js';
import type { AuditCheckpoint, CheckpointStatement } from './line.js';

/** Media type in the header, so that nothing else the key signs can be taken for a checkpoint. */
const CHECKPOINT_TYPE = 'a2a-audit-checkpoint+jws';

/** Signed where a replica stands in, to see which one does. No JWS begins like it. */
const PROBE = Buffer.from('a2a audit: which version signs now?', 'ascii');

/** One operation of the audit key. */
export async function signSection(signer: JwsSigner, section: SectionToSign): Promise<SignedStatement> {
  const version = await signer.resolveKeyVersion(MASTER_KEY_IDS.audit);
  try {
    return await signWith(signer, version, section);
  } catch (error) {
    // The statement names the version, so that only this one can sign it; its location may not answer while another does.
    const { keyVersion, algorithm, protectionLevel } = await signer.signDetailed(MASTER_KEY_IDS.audit, PROBE);
    if (keyVersion === version.keyVersion) throw error;
    return signWith(signer, { keyVersion, algorithm, protectionLevel }, section);
  }
}

/** A section of the chain of a writer, with the time of its signature. */
interface SectionToSign extends Section {
  readonly writer: string;
  readonly time: string;
  readonly canonicalize: Canonicalize;
}

type SignedStatement = Pick<AuditCheckpoint, 'type' | 'statement' | 'jws'>;

async function signWith(
  signer: JwsSigner,
  version: { readonly keyVersion: string; readonly algorithm: string; readonly protectionLevel: string },
  { canonicalize, ...section }: SectionToSign,
): Promise<SignedStatement> {
  const { keyVersion, algorithm, protectionLevel } = version;
  const statement = { ...section, keyVersion, algorithm, protectionLevel };
  const payload = Buffer.from(canonicalize(statement), 'utf8');
  const jws = await signCompactJws(signer, keyVersion, payload, { typ: CHECKPOINT_TYPE });
  const [header, , signature] = jws.split('.');
  return { type: 'checkpoint', statement, jws: `${header}..${signature}` };
}

/** The thumbprint that the header of a detached JWS names. */
export function keyIdOfCheckpoint(jws: string): string | undefined {
  try {
    const kid = peekJwsHeader(attach(jws, new Uint8Array()))['kid'];
    return typeof kid === 'string' ? kid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the signature over the statement is by the key. */
export async function isSigned(
  { statement, jws }: { readonly statement: CheckpointStatement; readonly jws: string },
  key: JosePublicKey,
  canonicalize: Canonicalize,
): Promise<boolean> {
  const payload = Buffer.from(canonicalize(statement), 'utf8');
  try {
    await verifyCompactJws(attach(jws, payload), key, { algorithm: key.jwk.alg, typ: CHECKPOINT_TYPE });
    return key.algorithm.name === statement.algorithm;
  } catch {
    return false;
  }
}

/** RFC 7515 appendix F. One that is not detached does not become right by it. */
function attach(jws: string, payload: Uint8Array): string {
  const [header = '', middle, signature = '', ...rest] = jws.split('.');
  if (middle !== '' || rest.length > 0 || decodeBase64url(signature) === undefined) return '';
  return `${header}.${encodeBase64url(payload)}.${signature}`;
}
