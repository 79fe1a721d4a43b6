/** The official client against an emulator, with its own defaults for everything else. */

import { KeyManagementServiceClient } from '@google-cloud/kms';
import { credentials } from '@grpc/grpc-js';

export async function openOfficialClient(emulatorHost: string): Promise<KeyManagementServiceClient> {
  const { hostname, port } = new URL(`http://${emulatorHost}`);
  const client = new KeyManagementServiceClient({
    apiEndpoint: hostname,
    port: Number(port),
    sslCreds: credentials.createInsecure(),
    // Without it the client asks the metadata server of Google Cloud for its universe.
    clientOptions: { universeDomain: 'googleapis.com' },
  });
  await client.initialize();
  return client;
}
