import { newClient, startTestEmulator } from '../support/emulator.js';
import { CalendarClock } from '../support/lifecycle.js';
import { describeKeyProvider } from './key-provider-contract.js';

for (const protectionLevel of ['HSM', 'SOFTWARE'] as const) {
  describeKeyProvider(`KMSClient with ${protectionLevel} keys`, {
    protectionLevel,
    // A signature takes seconds in plain JavaScript; the emulator's own tests make one.
    without: ['PQ_SIGN_SLH_DSA_SHA2_128S'],
    make: async () => {
      const clock = new CalendarClock();
      const emulator = await startTestEmulator({ clock });
      return { provider: newClient(emulator, { clock }), clock, close: () => emulator.close() };
    },
  });
}
