import sdk = require('a2a-kms');
import emulator = require('a2a-kms/emulator');

async function main(): Promise<void> {
  const { endpoint } = await emulator.startKmsEmulator({ port: 0 });
  const config: sdk.KMSConfig = {
    projectId: 'p',
    locationId: 'global',
    keyRingId: 'r',
    emulatorHost: endpoint,
  };
  const kms = new sdk.KMSClient(config);
  const signature: Buffer = await kms.sign('key', Buffer.from('message'));
  const verdict: boolean = await kms.verify('key', Buffer.from('message'), signature);
  console.log(verdict);
}

void main();
