/** Documents by which agents prove who they are and what they said. */

import { A2AKmsError, type ErrorContext, sentence } from './base.js';

/** A JSON Web Key is not one this library works with: damaged, private, of another algorithm, or too small. */
export class InvalidJwkError extends A2AKmsError {
  readonly code = 'INVALID_JWK';

  constructor(context: ErrorContext, problem: string, next = 'Ask its owner for the public key again.') {
    super(sentence(context, `the key is not usable: ${problem}`, next), context);
  }
}

/** A JWS was refused. */
export class JwsVerificationError extends A2AKmsError {
  readonly code = 'JWS_VERIFICATION_FAILED';
  /** The check that failed; nothing of the JWS may be believed, whichever it was. */
  readonly check: 'format' | 'size' | 'algorithm' | 'critical-header' | 'type' | 'signature';

  constructor(context: ErrorContext, check: JwsVerificationError['check'], problem: string) {
    super(
      sentence(context, `refused (${check}): ${problem}`, 'Discard it, or ask its sender for another.'),
      context,
    );
    this.check = check;
  }
}

/** An endorsement does not show that the key is the agent's. */
export class EndorsementError extends A2AKmsError {
  readonly code = 'ENDORSEMENT_REJECTED';
  /** The check that failed. */
  readonly check:
    | 'format'
    | 'size'
    | 'algorithm'
    | 'critical-header'
    | 'type'
    | 'root-key'
    | 'signature'
    | 'not-yet-valid'
    | 'expired'
    | 'agent'
    | 'key'
    | 'key-algorithm';

  constructor(context: ErrorContext, check: EndorsementError['check'], problem: string) {
    super(
      sentence(
        context,
        `the endorsement was refused (${check}): ${problem}`,
        'Do not use the key for the agent; ask the agent for a current endorsement.',
      ),
      context,
    );
    this.check = check;
  }
}

/** A handover statement does not show that the agent's new key takes the place of the old one. */
export class HandoverError extends A2AKmsError {
  readonly code = 'HANDOVER_REJECTED';
  /** The check that failed. */
  readonly check:
    | 'format'
    | 'size'
    | 'algorithm'
    | 'critical-header'
    | 'type'
    | 'signature'
    | 'agent'
    | 'key';

  constructor(context: ErrorContext, check: HandoverError['check'], problem: string) {
    super(
      sentence(
        context,
        `the handover statement was refused (${check}): ${problem}`,
        'Keep using only the old key; ask the agent for its statement again.',
      ),
      context,
    );
    this.check = check;
  }
}

/** A JWE was refused before its key was unwrapped: no call was made. */
export class InvalidJweError extends A2AKmsError {
  readonly code = 'INVALID_JWE';
  /** The check that failed. */
  readonly check: 'format' | 'size' | 'algorithm' | 'critical-header' | 'compression';

  constructor(context: ErrorContext, check: InvalidJweError['check'], problem: string) {
    super(
      sentence(
        context,
        `refused (${check}): ${problem}`,
        'Have it made as a compact JWE with RSA-OAEP-256 and A256GCM.',
      ),
      context,
    );
    this.check = check;
  }
}

/** What was given as a receipt is none, or is not in the one form that is read. */
export class InvalidReceiptError extends A2AKmsError {
  readonly code = 'INVALID_RECEIPT';

  constructor(context: ErrorContext, problem: string) {
    super(sentence(context, `not a receipt: ${problem}`, 'Ask its sender for the receipt again.'), context);
  }
}

/** A message names a key that is not among the agent's ENABLED versions: of another agent, retired, or destroyed. */
export class UnknownKeyIdError extends A2AKmsError {
  readonly code = 'UNKNOWN_KEY_ID';
  /** The `kid` of the message, shortened. */
  readonly keyId: string;

  constructor(context: ErrorContext, keyId: string) {
    const shown = keyId.slice(0, 100);
    super(
      sentence(
        context,
        `no ENABLED version of the key has the id ${JSON.stringify(shown)}.`,
        'Have it encrypted with the current public key, or enable the retired version.',
      ),
      context,
    );
    this.keyId = shown;
  }
}
