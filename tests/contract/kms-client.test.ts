import { newClient, startTestEmulator } from '../support/emulator.js';
import { describeKeyProvider } from './key-provider-contract.js';

for (const protectionLevel of ['HSM', 'SOFTWARE'] as const) {
  describeKeyProvider(`KMSClient with ${protectionLevel} keys`, {
    protectionLevel,
    // A signature takes seconds in plain JavaScript; the emulator's own tests make one.
    without: ['PQ_SIGN_SLH_DSA_SHA2_128S'],
    make: async () => {
      const emulator = await startTestEmulator();
      return { provider: newClient(emulator), close: () => emulator.close() };
    },
  });
}
