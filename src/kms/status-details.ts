/**
 * The retry delay in a gRPC error's `grpc-status-details-bin` trailer. The bytes come from the network: every length is
 * checked, and anything unexpected means that there is no delay.
 *
 * google.rpc.Status { repeated google.protobuf.Any details = 3 }, Any { string type_url = 1; bytes value = 2 },
 * google.rpc.RetryInfo { google.protobuf.Duration retry_delay = 1 }, Duration { int64 seconds = 1; int32 nanos = 2 }.
 */

const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';
/** A delay beyond this is not waited for by anyone; the cap keeps the arithmetic exact. */
const MAX_DELAY_SECONDS = 86_400;

/** The delay in milliseconds, or undefined. `metadata` is the error's, a grpc-js `Metadata`. */
export function retryDelayOf(metadata: unknown): number | undefined {
  if (typeof metadata !== 'object' || metadata === null) return undefined;
  const get: unknown = Reflect.get(metadata, 'get');
  if (typeof get !== 'function') return undefined;
  const values: unknown = get.call(metadata, 'grpc-status-details-bin');
  const [bytes] = Array.isArray(values) ? values : [];
  if (!(bytes instanceof Uint8Array)) return undefined;
  for (const detail of fieldsOf(bytes, 3)) {
    if (typeof detail === 'number') continue;
    const [typeUrl] = fieldsOf(detail, 1);
    const [value] = fieldsOf(detail, 2);
    if (!(typeUrl instanceof Uint8Array) || !(value instanceof Uint8Array)) continue;
    if (Buffer.from(typeUrl).toString('utf8') !== RETRY_INFO) continue;
    const [duration] = fieldsOf(value, 1);
    if (!(duration instanceof Uint8Array)) continue;
    const [seconds = 0] = fieldsOf(duration, 1);
    const [nanos = 0] = fieldsOf(duration, 2);
    if (typeof seconds !== 'number' || typeof nanos !== 'number') continue;
    return Math.min(seconds, MAX_DELAY_SECONDS) * 1_000 + Math.ceil(nanos / 1_000_000);
  }
  return undefined;
}

/** The values of one field of a message: numbers of varints, bytes of length-delimited ones. Empty if it is malformed. */
function fieldsOf(message: Uint8Array, wanted: number): (number | Uint8Array)[] {
  const found: (number | Uint8Array)[] = [];
  let offset = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 10; shift++) {
      const byte = message[offset++];
      if (byte === undefined) return Number.NaN;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (offset < message.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === 0) {
      const value = varint();
      if (Number.isNaN(value)) return [];
      if (field === wanted) found.push(value);
    } else if (wireType === 2) {
      const length = varint();
      if (!(offset + length <= message.length)) return [];
      if (field === wanted) found.push(message.subarray(offset, offset + length));
      offset += length;
    } else {
      return [];
    }
  }
  return found;
}
