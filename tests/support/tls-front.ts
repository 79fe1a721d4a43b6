/**
 * TLS in front of an emulator, and a token endpoint, for clients that take them for Google Cloud: they get a token before
 * each call. gRPC reads its roots when it is loaded, so a test names `localhost-certificate.pem` beside this file before.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { onTestFinished } from 'vitest';

/** Passes what it receives on to the emulator. Gives `localhost:PORT`. */
export async function tlsFront(emulator: { readonly host: string; readonly port: number }): Promise<string> {
  const file = (name: string): string => join(import.meta.dirname, name);
  const [cert, key] = ['localhost-certificate.pem', 'localhost-key.pem'].map((name) =>
    readFileSync(file(name)),
  );
  const server = createTlsServer({ cert, key, ALPNProtocols: ['h2'] }, (client) => {
    const target = connect({ host: emulator.host, port: emulator.port });
    client.pipe(target).pipe(client);
    const end = (): void => {
      client.destroy();
      target.destroy();
    };
    for (const socket of [client, target]) socket.on('error', end).on('close', end);
  });
  return `localhost:${await listen(server)}`;
}

/** A token endpoint; `answer` says what becomes of each request. Gives its URL. */
export async function tokenEndpoint(answer: (response: ServerResponse) => void): Promise<string> {
  return `http://127.0.0.1:${await listen(createServer((_, response) => answer(response)))}/token`;
}

/** A token that nobody would use twice: it is over at once. */
export const giveToken = (response: ServerResponse): void => {
  response.setHeader('content-type', 'application/json');
  const token = { access_token: 'token', expires_in: 1, token_type: 'Bearer' };
  response.end(
    JSON.stringify({ ...token, issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' }),
  );
};

/** A credentials file with this content, gone when the test ends. */
export function credentialsFile(content: string | object): string {
  const directory = mkdtempSync(join(tmpdir(), 'a2a-kms-credentials-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'credentials.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

/** Credentials of a workload identity pool, whose token is exchanged at the endpoint. */
export const externalAccount = (tokenUrl: string, subjectTokenFile = credentialsFile('subject token')) => ({
  type: 'external_account',
  audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q',
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  token_url: tokenUrl,
  credential_source: { file: subjectTokenFile },
});

async function listen(server: Server | ReturnType<typeof createTlsServer>): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, 'localhost', resolve);
  });
  onTestFinished(() => void server.close());
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server does not listen');
  return address.port;
}
