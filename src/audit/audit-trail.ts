/** What the owner of a provider or an exchange sees of its audit trail, and can do with it. */

/** Where a chain stood. Store it where whoever can change the trail cannot: it shows what was cut off later. */
export interface AuditAnchor {
  readonly writer: string;
  readonly sequence: number;
  /** SHA-256 of the line, hex. */
  readonly sha256: string;
}

/** What an audit trail has counted since it was made. */
export interface AuditStats {
  /** Events that are written. */
  readonly events: number;
  /** Events that could not be written. */
  readonly lostEvents: number;
  readonly checkpoints: number;
  readonly failedCheckpoints: number;
  /** Lines that no checkpoint covers yet. */
  readonly unsigned: number;
}

/**
 * The audit trail of one provider or exchange, at its property `audit`; made from the option `audit`
 * (docs/audit-trail.md).
 */
export interface AuditTrail {
  /** The last line that is written, to be kept elsewhere; undefined before the first. */
  anchor(): AuditAnchor | undefined;
  /**
   * Signs everything up to now, also that events were lost.
   * @returns whether all of it is signed; what went wrong is logged.
   */
  checkpoint(): Promise<boolean>;
  /** What was counted since the process began. */
  stats(): AuditStats;
  /**
   * Writes what is waiting, signs it and closes the sink. Events after it are not written. What goes wrong is logged. The
   * owner of the trail does it when it is closed itself.
   */
  close(): Promise<void>;
}
