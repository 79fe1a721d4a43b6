/**
 * What this library logs through: the part of pino's interface that it uses. `fields` are plain data about the event;
 * key material, plaintext and tokens never reach a logger.
 */
export interface Logger {
  /** Steps of an operation, for finding faults. */
  debug(fields: object, message: string): void;
  /** What went as expected. */
  info(fields: object, message: string): void;
  /** What somebody should look into; the call goes on. */
  warn(fields: object, message: string): void;
  /** Failures that no caller learns of. */
  error(fields: object, message: string): void;
}

type Level = keyof Logger;

/**
 * The logger in use when the configuration names none: pino at level `warn` to standard error, so that a program's
 * standard output stays its own. pino is loaded on the first message.
 */
export function createDefaultLogger(): Logger {
  let pending: Promise<Logger> | undefined;
  const load = async (): Promise<Logger> => {
    const { default: pino } = await import('pino');
    const logger: Logger = pino(
      { name: 'a2a-kms', level: 'warn' },
      pino.destination({ dest: 2, sync: true }),
    );
    return logger;
  };
  const write =
    (level: Level) =>
    (fields: object, message: string): void => {
      if (level === 'debug' || level === 'info') return;
      pending ??= load();
      void pending.then((logger) => logger[level](fields, message));
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}
