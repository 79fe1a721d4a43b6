/** How long endorsements are valid, for the configuration and for who issues and checks them. */

/** 30 days. */
export const ENDORSEMENT_VALIDITY_DEFAULT_SECONDS = 2_592_000;
/** 397 days, about the longest that web browsers took a certificate for. */
export const ENDORSEMENT_VALIDITY_MAX_SECONDS = 34_300_800;
