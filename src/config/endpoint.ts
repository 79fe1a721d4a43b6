/** Where calls go: to Cloud KMS, or to an emulator, which the environment may name. */

import { z } from 'zod';
import type { ConfigProblem } from '../errors/input.js';
import type { KMSConfig } from './kms-config.js';
import type { Environment } from './shapes.js';

const HOST = /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+)(?::[0-9]{1,5})?$/;
const HOST_AND_PORT = /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+):[0-9]{1,5}$/;

/** The forms above also have ports that are none, and brackets around what is no IPv6 address. */
const isAddress = (text: string): boolean => URL.canParse(`https://${text}`) && !/:0*$/.test(text);

/** Host of an endpoint of Google Cloud. */
export const hostSchema = z
  .string('must be a host name')
  .refine((text) => HOST.test(text) && isAddress(text), 'is not a host name, optionally with a port');
/** Address of an emulator. */
export const emulatorHostSchema = z
  .string('must be HOST:PORT')
  .refine((text) => HOST_AND_PORT.test(text) && isAddress(text), 'is not HOST:PORT');

/** Where the calls go. */
export type KmsEndpoint =
  | {
      readonly kind: 'cloud';
      readonly apiEndpoint: string | undefined;
      readonly credentialsPath: string | undefined;
    }
  | { readonly kind: 'emulator'; readonly host: string; readonly port: number };

/** Host and port that the calls go to. */
export function serverOf(endpoint: KmsEndpoint): { readonly address: string; readonly port: number } {
  if (endpoint.kind === 'emulator') return { address: endpoint.host, port: endpoint.port };
  const { hostname, port } = new URL(`https://${endpoint.apiEndpoint ?? 'cloudkms.googleapis.com'}`);
  return { address: hostname, port: port === '' ? 443 : Number(port) };
}

/** The endpoint as the audit trail has it: only where it is not the usual one. */
export function shownEndpoint(endpoint: KmsEndpoint): Readonly<Record<string, string>> {
  if (endpoint.kind === 'emulator') return { emulator: `${endpoint.host}:${endpoint.port}` };
  return endpoint.apiEndpoint === undefined ? {} : { apiEndpoint: endpoint.apiEndpoint };
}

/** Where the emulator's address came from decides which name a problem with it is reported under. */
export function emulatorSource(
  config: unknown,
  environment: Environment,
): { field: string; address: string } | undefined {
  const own = typeof config === 'object' && config !== null ? Reflect.get(config, 'emulatorHost') : undefined;
  if (typeof own === 'string') return { field: 'emulatorHost', address: own };
  const fromEnvironment = environment['KMS_EMULATOR_HOST'];
  return fromEnvironment ? { field: 'KMS_EMULATOR_HOST', address: fromEnvironment } : undefined;
}

/** What is wrong with the choice between Cloud KMS and an emulator; independent of the other fields. */
export function endpointProblems(config: unknown, environment: Environment): ConfigProblem[] {
  const emulator = emulatorSource(config, environment);
  if (emulator === undefined || typeof config !== 'object' || config === null) return [];
  const problems: ConfigProblem[] = [];
  if (emulator.field === 'KMS_EMULATOR_HOST' && !emulatorHostSchema.safeParse(emulator.address).success) {
    problems.push({
      field: emulator.field,
      problem: `is not HOST:PORT: ${JSON.stringify(emulator.address.slice(0, 100))}`,
    });
  }
  if (Reflect.get(config, 'apiEndpoint') !== undefined) {
    problems.push({
      field: emulator.field,
      problem: 'cannot be combined with apiEndpoint: it is unclear which one to call',
    });
  }
  if (environment['NODE_ENV'] === 'production' && Reflect.get(config, 'allowEmulatorInProduction') !== true) {
    problems.push({
      field: emulator.field,
      problem:
        'an emulator protects nothing and is refused with NODE_ENV=production; set allowEmulatorInProduction to use it anyway',
    });
  }
  return problems;
}

/** Where the calls of a configuration that was parsed go. */
export function endpointOf(config: KMSConfig, environment: Environment = process.env): KmsEndpoint {
  const emulator = emulatorSource(config, environment);
  if (emulator !== undefined) return emulatorEndpoint(emulator.address);
  return { kind: 'cloud', apiEndpoint: config.apiEndpoint, credentialsPath: config.credentialsPath };
}

function emulatorEndpoint(address: string): KmsEndpoint {
  const colon = address.lastIndexOf(':');
  return { kind: 'emulator', host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}
