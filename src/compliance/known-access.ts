/** What members and roles of IAM policies mean, as far as it is known without asking for more. */

/** One member with one role. */
export interface AccessEvidence {
  readonly member: string;
  /** Full name of the role. */
  readonly role: string;
  readonly condition?: { readonly expression: string };
}

/** Whoever is in them is decided elsewhere. */
export const SETS = /^(?:domain|group|projectOwner|projectEditor|projectViewer):|^principalSet:/;
export const DELETED = /^deleted:/;

/** Basic roles: rights on nearly everything (cloud.google.com/iam/docs/roles-overview#basic). */
export const BASIC: readonly string[] = ['roles/owner', 'roles/editor'];
/** More than one purpose of a key. */
export const WIDE: readonly string[] = [...BASIC, 'roles/cloudkms.admin', 'roles/cloudkms.cryptoOperator'];
/** Of the predefined roles of Cloud KMS, those that change keys or who may use them. */
const ADMINISTERS: readonly string[] = [...BASIC, 'roles/cloudkms.admin', 'roles/cloudkms.importer'];
/** Of those, the ones that hold `cloudkms.cryptoKeys.setIamPolicy`: whoever has one can give itself any other. */
const GRANTS: readonly string[] = ['roles/owner', 'roles/cloudkms.admin'];
/** Of the predefined roles of Cloud KMS, those that use private or symmetric keys. */
const USES: readonly string[] = [
  ...BASIC,
  'roles/cloudkms.cryptoKeyDecrypter',
  'roles/cloudkms.cryptoKeyDecrypterViaDelegation',
  'roles/cloudkms.cryptoKeyEncrypter',
  'roles/cloudkms.cryptoKeyEncrypterDecrypter',
  'roles/cloudkms.cryptoKeyEncrypterDecrypterViaDelegation',
  'roles/cloudkms.cryptoKeyEncrypterViaDelegation',
  'roles/cloudkms.cryptoOperator',
  'roles/cloudkms.signer',
  'roles/cloudkms.signerVerifier',
];
/** Neither changes keys nor uses what is secret of them. */
const HARMLESS: readonly string[] = [
  'roles/viewer',
  'roles/cloudkms.viewer',
  'roles/cloudkms.publicKeyViewer',
  'roles/cloudkms.verifier',
];
/** The custom roles of this library, by their names alone: what they permit may have been changed. */
const OWN_ADMINISTERS = /\/roles\/a2a(?:Administrator|Rotator)$/;
const OWN_GRANTS = /\/roles\/a2aAdministrator$/;
const OWN_USES = /\/roles\/a2aSigner$/;

export const administers = (role: string): boolean =>
  ADMINISTERS.includes(role) || OWN_ADMINISTERS.test(role);
export const grants = (role: string): boolean => GRANTS.includes(role) || OWN_GRANTS.test(role);
export const uses = (role: string): boolean => USES.includes(role) || OWN_USES.test(role);

/** Whether it is known what a role permits. What a custom role permits stands in the role, which nobody reads here. */
export const isKnown = (role: string): boolean =>
  [ADMINISTERS, USES, HARMLESS].some((roles) => roles.includes(role));

export const toText = ({ member, role, condition }: AccessEvidence): string =>
  `${member} ${role}${condition === undefined ? '' : ` if ${condition.expression}`}`;
