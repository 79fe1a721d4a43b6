import * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import { GrpcTransport } from '../../src/kms/transport.js';
import { startTestEmulator } from '../support/emulator.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const Stub = grpc.makeGenericClientConstructor({}, 'Kms');

describe('a probe of a connection', () => {
  let emulator: KmsEmulator;
  let proxy: TcpProxy;
  let stubs: grpc.Client[];
  beforeEach(async () => {
    emulator = await startTestEmulator();
    proxy = await TcpProxy.to(emulator);
    stubs = [];
  });
  afterEach(async () => {
    for (const stub of stubs) stub.close();
    await proxy[Symbol.asyncDispose]();
    await emulator.close();
  });

  /** A stub that has a connection. */
  const connect = async (): Promise<Readonly<Record<string, unknown>>> => {
    const stub = new Stub(proxy.endpoint, grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    stubs.push(stub);
    await new Promise<void>((resolve, reject) => {
      stub.waitForReady(Date.now() + 10_000, (error) => (error === undefined ? resolve() : reject(error)));
    });
    return stub;
  };

  const open = (token?: Promise<unknown>): Promise<GrpcTransport> =>
    GrpcTransport.of({
      grpc,
      needsToken: token !== undefined,
      client: {
        initialize: connect,
        iamClient: { initialize: connect },
        auth: { getRequestHeaders: () => token ?? Promise.reject(new Error('no token is needed')) },
        close: async () => {},
      },
    });

  /** What is told of it, in order. */
  const probe = (transport: GrpcTransport): readonly string[] => {
    const told: string[] = [];
    transport.probe({ onSent: () => told.push('sent'), onAnswer: () => told.push('answered') });
    return told;
  };

  it('is answered by a server that does not know what is asked, and is no call to it', async () => {
    const told = probe(await open());
    await expect.poll(() => told).toEqual(['sent', 'answered']);
    expect(emulator.requests.count()).toBe(0);
  });

  it('waits for the token that calls wait for', async () => {
    let give = (_: unknown): void => {};
    const told = probe(
      await open(
        new Promise((resolve) => {
          give = resolve;
        }),
      ),
    );
    expect(told).toEqual([]);
    give(undefined);
    await expect.poll(() => told).toEqual(['sent', 'answered']);
  });

  it('is not answered when the connection breaks', async () => {
    const transport = await open();
    proxy.connections[0]?.silence();
    const told = probe(transport);
    proxy.connections[0]?.cut();
    await expect.poll(() => transport.isConnected()).toBe(false);
    expect(told).toEqual(['sent']);
  });

  it('is not answered when one of the connections is silent, until that one answers', async () => {
    const transport = await open();
    await transport.iamStub();
    proxy.connections[1]?.silence();
    const told = probe(transport);
    // Answered later than the first half of the probe, on the same connection.
    const other = await open();
    const later = probe(other);
    await expect.poll(() => later).toEqual(['sent', 'answered']);
    expect(told).toEqual(['sent']);
  });
});
