/** A process that dies after its n-th RPC: that one takes effect, its answer is lost, and no further one is made. */

import type { KmsEmulator } from '../../src/emulator/index.js';
import type { KMSConfig } from '../../src/index.js';
import { clientConfig } from './emulator.js';

export interface Crash<Client extends Closable> {
  /** Number of the RPC, from 1. */
  readonly afterRpc: number;
  readonly config?: Partial<KMSConfig>;
  readonly open: (config: KMSConfig) => Client;
  readonly act: (client: Client) => Promise<unknown>;
}

interface Closable {
  close(): Promise<void>;
}

/** Runs the work in a client of its own. `completed` when it needed fewer RPCs than it was given. */
export async function crashAfter<Client extends Closable>(
  emulator: KmsEmulator,
  crash: Crash<Client>,
): Promise<'crashed' | 'completed'> {
  const client = crash.open(clientConfig(emulator, crash.config));
  const lost = emulator.faults.add({
    rpc: '*',
    after: crash.afterRpc - 1,
    times: 1,
    applyAfterExecution: true,
    status: { code: 'UNAVAILABLE', message: 'the process died' },
  });
  // A dead process sends nothing: what comes after is refused before it has an effect. (The lost call is not counted here.)
  const dead = emulator.faults.add({
    rpc: '*',
    after: crash.afterRpc - 1,
    status: { code: 'UNAUTHENTICATED', message: 'the process is dead' },
  });
  try {
    await crash.act(client);
    return lost.hits === 0 ? 'completed' : 'crashed';
  } catch (error) {
    if (lost.hits === 0) throw error;
    return 'crashed';
  } finally {
    lost.remove();
    dead.remove();
    await client.close();
  }
}
