/**
 * The IAM Credentials service, made with its official client, which is loaded when the first token is asked for. Calls go
 * through the client's stub: its own methods write whole answers, tokens included, to the log when SDK logging is on.
 */

import type { IAMCredentialsClient } from '@google-cloud/iam-credentials';
import type { ServiceError } from '@grpc/grpc-js';
import type { KmsEndpoint } from '../config/endpoint.js';
import type { ResolvedImpersonation } from '../keys/impersonation.js';
import { cloudOptions, emulatorOptions } from './client-options.js';

interface IamCredentialsOptions {
  readonly endpoint: KmsEndpoint;
  /** Host of the service, in place of iamcredentials.googleapis.com. */
  readonly iamCredentialsEndpoint?: string | undefined;
  readonly emulatorAccessToken?: string | undefined;
}

/** Everything that Cloud KMS is used for. */
const SCOPE = ['https://www.googleapis.com/auth/cloudkms'];

interface Opened {
  readonly client: IAMCredentialsClient;
  readonly generate: (
    request: object,
    timeoutMs: number,
    answer: (error: ServiceError | null, response: { readonly accessToken?: string | null }) => void,
  ) => void;
}

export class IamCredentials {
  readonly #options: IamCredentialsOptions;
  #opened: Promise<Opened> | undefined;

  constructor(options: IamCredentialsOptions) {
    this.#options = options;
  }

  /** One attempt to get an access token. Rejects with what gRPC rejects with, or what kept the client from opening. */
  async generateAccessToken(
    { serviceAccount, delegates, lifetimeSeconds }: ResolvedImpersonation,
    timeoutMs: number,
  ): Promise<string> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    const { generate } = await this.#opened;
    const request = {
      name: resourceOf(serviceAccount),
      delegates: delegates.map(resourceOf),
      scope: SCOPE,
      lifetime: { seconds: lifetimeSeconds },
    };
    return new Promise((resolve, reject) => {
      generate(request, timeoutMs, (error, response) => {
        if (error !== null) reject(error);
        else if (response.accessToken) resolve(response.accessToken);
        else reject(new TypeError('the answer of IAM Credentials holds no token'));
      });
    });
  }

  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    await opened?.client.close();
  }

  async #open(): Promise<Opened> {
    const [{ IAMCredentialsClient }, grpc] = await Promise.all([
      import('@google-cloud/iam-credentials'),
      import('@grpc/grpc-js'),
    ]);
    const { endpoint, iamCredentialsEndpoint, emulatorAccessToken } = this.#options;
    const client = new IAMCredentialsClient({
      grpc,
      ...(endpoint.kind === 'emulator'
        ? emulatorOptions(endpoint, grpc)
        : cloudOptions({ ...endpoint, apiEndpoint: iamCredentialsEndpoint })),
    });
    const stub: Readonly<Record<string, unknown>> = await client.initialize();
    return {
      client,
      generate(request, timeoutMs, answer) {
        const method = stub['generateAccessToken'];
        if (typeof method !== 'function')
          throw new TypeError('the installed @google-cloud/iam-credentials has no RPC generateAccessToken');
        const metadata = new grpc.Metadata();
        if (emulatorAccessToken !== undefined) metadata.set('authorization', `Bearer ${emulatorAccessToken}`);
        // The gRPC deadline is wall-clock time by its own definition, whatever clock drives this library.
        method.call(stub, request, metadata, { deadline: Date.now() + timeoutMs }, answer);
      },
    };
  }
}

/** "The `-` wildcard character is required; replacing it with a project ID is invalid" (common.proto). */
const resourceOf = (email: string): string => `projects/-/serviceAccounts/${email}`;
