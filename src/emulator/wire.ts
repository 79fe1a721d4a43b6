/**
 * The wire format: service definitions made from the descriptors that ship inside @google-cloud/kms,
 * @google-cloud/iam-credentials and google-gax, and the encoding of error details. Nothing here knows what an RPC does.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { fromJSON, type Options } from '@grpc/proto-loader';
import type { RpcMessage, StatusDetail } from './rpc.js';

/** How messages look to handlers; see `RpcMessage`. */
const LOADER_OPTIONS = {
  keepCase: false,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
} satisfies Options;

type PackageDefinition = ReturnType<typeof fromJSON>;

export interface WireDefinitions {
  /** Service definitions by full service name. */
  readonly services: ReadonlyMap<string, ServiceDefinition>;
  /** Bytes of a message, by its full name. */
  encode(type: string, value: RpcMessage): Buffer;
}

/**
 * `require` from where the packages are. In a bundle in CommonJS `import.meta` is empty; where it is not, there is no
 * `__filename`.
 */
function requireOfPackages(): NodeJS.Require {
  const require = createRequire(typeof __filename === 'string' ? __filename : import.meta.url);
  try {
    require.resolve('@google-cloud/kms');
  } catch (cause) {
    throw new Error(
      'the emulator reads descriptors from the package @google-cloud/kms: leave a2a-kms/emulator outside of a bundle',
      { cause },
    );
  }
  return require;
}

/** Loads the descriptors: those of Cloud KMS, of the mixins that the official clients call, and of IAM Credentials. */
export function loadWireDefinitions(): WireDefinitions {
  const require = requireOfPackages();
  // google-gax is a dependency of the client, not of this package, so it is looked up from there.
  const gaxMain = createRequire(require.resolve('@google-cloud/kms')).resolve('google-gax');
  const gaxProtos = join(dirname(gaxMain), '..', 'protos');
  const definitions: PackageDefinition[] = [
    fromJSON(require('@google-cloud/kms/build/protos/protos.json'), LOADER_OPTIONS),
    fromJSON(require('@google-cloud/iam-credentials/build/protos/protos.json'), LOADER_OPTIONS),
    ...['iam_service', 'locations', 'operations'].map((name) =>
      fromJSON(JSON.parse(readFileSync(join(gaxProtos, `${name}.json`), 'utf8')), LOADER_OPTIONS),
    ),
    fromJSON(ERROR_DETAILS, LOADER_OPTIONS),
  ];
  const services = new Map<string, ServiceDefinition>();
  const encoders = new Map<string, (value: object) => Buffer>();
  for (const definition of definitions) {
    for (const [name, entry] of Object.entries(definition)) {
      if (isService(entry)) services.set(name, entry);
      else if ('serialize' in entry && typeof entry.serialize === 'function') {
        const { serialize } = entry;
        encoders.set(name, (value) => serialize.call(entry, value));
      }
    }
  }
  return {
    services,
    encode(type, value) {
      const encoder = encoders.get(type);
      if (encoder === undefined) throw new TypeError(`no descriptor of ${type}`);
      return encoder(value);
    },
  };
}

const isMethod = (value: unknown): value is MethodDefinition<object, object> =>
  typeof value === 'object' && value !== null && 'path' in value && 'requestDeserialize' in value;

const isService = (entry: object): entry is ServiceDefinition => Object.values(entry).some(isMethod);

/** The bytes of the `grpc-status-details-bin` trailer: a google.rpc.Status. */
export function encodeStatusDetails(
  wire: WireDefinitions,
  status: { readonly code: number; readonly message: string; readonly details: readonly StatusDetail[] },
): Buffer {
  return wire.encode('google.rpc.Status', {
    code: status.code,
    message: status.message,
    details: status.details.map((detail) => toAny(wire, detail.type, detail.value)),
  });
}

/** A google.protobuf.Any that holds the message. Its field is in snake_case in the descriptors of protobuf.js itself. */
export function toAny(wire: WireDefinitions, type: string, value: RpcMessage): RpcMessage {
  return { type_url: `type.googleapis.com/${type}`, value: wire.encode(type, value) };
}

const field = (type: string, id: number, rule?: 'repeated') => ({ type, id, ...(rule && { rule }) });

/**
 * google/rpc/status.proto, google/rpc/error_details.proto and google/protobuf/any.proto, as far as they are used here.
 * They do not ship as one descriptor with both supported majors of the client.
 */
const ERROR_DETAILS = {
  nested: {
    google: {
      nested: {
        protobuf: {
          nested: {
            Any: { fields: { type_url: field('string', 1), value: field('bytes', 2) } },
            Duration: { fields: { seconds: field('int64', 1), nanos: field('int32', 2) } },
            Empty: { fields: {} },
          },
        },
        rpc: {
          nested: {
            Status: {
              fields: {
                code: field('int32', 1),
                message: field('string', 2),
                details: field('google.protobuf.Any', 3, 'repeated'),
              },
            },
            RetryInfo: { fields: { retryDelay: field('google.protobuf.Duration', 1) } },
            ErrorInfo: {
              fields: {
                reason: field('string', 1),
                domain: field('string', 2),
                metadata: { keyType: 'string', type: 'string', id: 3 },
              },
            },
            BadRequest: {
              fields: { fieldViolations: field('FieldViolation', 1, 'repeated') },
              nested: {
                FieldViolation: { fields: { field: field('string', 1), description: field('string', 2) } },
              },
            },
            QuotaFailure: {
              fields: { violations: field('Violation', 1, 'repeated') },
              nested: {
                Violation: { fields: { subject: field('string', 1), description: field('string', 2) } },
              },
            },
            PreconditionFailure: {
              fields: { violations: field('Violation', 1, 'repeated') },
              nested: {
                Violation: {
                  fields: {
                    type: field('string', 1),
                    subject: field('string', 2),
                    description: field('string', 3),
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};
