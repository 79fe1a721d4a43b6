/**
 * Certificate chains of the HSMs, up to pinned roots. Issuers are found by name and signature, never by position, a root
 * that came along counts only as a copy of a pinned one, and a certificate that has no place in the chain is refused.
 */

import { X509Certificate } from 'node:crypto';

const MAX_CERTIFICATES = 8;
const MAX_PEM_LENGTH = 16_384;

export interface CertificateChain {
  /** From the one that issued nothing to the one that a pinned root issued. */
  readonly path: readonly [X509Certificate, ...X509Certificate[]];
  readonly root: X509Certificate;
}

/** @returns the chain, or why there is none. */
export function buildChain(
  certificates: readonly string[],
  pinned: readonly X509Certificate[],
): CertificateChain | { readonly problem: string } {
  if (certificates.length > MAX_CERTIFICATES)
    return { problem: `more than ${MAX_CERTIFICATES} certificates` };
  const parsed: X509Certificate[] = [];
  for (const pem of certificates) {
    const certificate = parseCertificate(pem);
    if (certificate === undefined) return { problem: 'a certificate is damaged or not in its only PEM form' };
    if (!pinned.some((root) => isCopyOf(certificate, root))) parsed.push(certificate);
  }
  const leaves = parsed.filter((one) => !parsed.some((other) => other !== one && issued(one, other)));
  const [leaf] = leaves;
  if (leaf === undefined || leaves.length > 1) return { problem: 'the certificates are not one chain' };
  const path: [X509Certificate, ...X509Certificate[]] = [leaf];
  for (let current = leaf; ; ) {
    const root = pinned.find((candidate) => issued(candidate, current));
    if (root !== undefined) {
      if (path.length !== parsed.length) return { problem: 'a certificate has no place in the chain' };
      return { path, root };
    }
    const issuer = parsed.find((candidate) => !path.includes(candidate) && issued(candidate, current));
    if (issuer === undefined) return { problem: 'no pinned root at the end of the chain' };
    path.push(issuer);
    current = issuer;
  }
}

/** Whether every certificate and the root are valid at that time. */
export function isValidAt({ path, root }: CertificateChain, at: Date): boolean {
  return [...path, root].every(
    ({ validFrom, validTo }) => Date.parse(validFrom) <= at.getTime() && at.getTime() <= Date.parse(validTo),
  );
}

/** False too where a key is none that can be read. */
export function hasSameKey(one: X509Certificate, other: X509Certificate): boolean {
  try {
    return one.publicKey.equals(other.publicKey);
  } catch {
    return false;
  }
}

/** OpenSSL reads PEM leniently, around and within the Base64; only what it would write itself is accepted. */
function parseCertificate(pem: string): X509Certificate | undefined {
  if (pem.length > MAX_PEM_LENGTH) return undefined;
  try {
    const certificate = new X509Certificate(pem);
    const written = certificate.toString();
    return pem === written || `${pem}\n` === written ? certificate : undefined;
  } catch {
    return undefined;
  }
}

/** A root may have been reissued with the same key; a copy is signed by that key, so that no bit of it is free. */
function isCopyOf(certificate: X509Certificate, root: X509Certificate): boolean {
  return hasSameKey(certificate, root) && issued(root, certificate);
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  try {
    return certificate.issuer === issuer.subject && certificate.verify(issuer.publicKey);
  } catch {
    // An algorithm that does not go with the issuer's key, or a key that cannot be read.
    return false;
  }
}
