/** Options of the official clients: where they connect to, and with which credentials. */

import type { KmsEndpoint } from '../config/endpoint.js';

type Grpc = typeof import('@grpc/grpc-js');

/** Without it the clients ask the metadata server of Google Cloud for their universe. */
export const UNIVERSE = { clientOptions: { universeDomain: 'googleapis.com' } } as const;

export function emulatorOptions(endpoint: Extract<KmsEndpoint, { kind: 'emulator' }>, grpc: Grpc) {
  return {
    apiEndpoint: endpoint.host,
    port: endpoint.port,
    sslCreds: grpc.credentials.createInsecure(),
    ...UNIVERSE,
  };
}

export function cloudOptions({ apiEndpoint, credentialsPath }: Extract<KmsEndpoint, { kind: 'cloud' }>) {
  const [host, port] = apiEndpoint === undefined ? [] : splitPort(apiEndpoint);
  return {
    // Named, because the clients would take it, and so the host that calls go to, from GOOGLE_CLOUD_UNIVERSE_DOMAIN.
    universeDomain: 'googleapis.com',
    ...(credentialsPath !== undefined && { keyFilename: credentialsPath }),
    ...(host !== undefined && { apiEndpoint: host }),
    ...(port !== undefined && { port }),
  };
}

function splitPort(address: string): readonly [host: string, port: number | undefined] {
  const match = /^(.*):([0-9]+)$/.exec(address);
  return match?.[1] === undefined ? [address, undefined] : [match[1], Number(match[2])];
}
