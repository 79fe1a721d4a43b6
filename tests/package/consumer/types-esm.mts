import { A2AKeyExchange, type KeyMetadata, KMSClient, type KMSConfig } from 'a2a-kms';
import { startKmsEmulator } from 'a2a-kms/emulator';

const emulator = await startKmsEmulator({ port: 0 });
const config: KMSConfig = {
  projectId: 'p',
  locationId: 'global',
  keyRingId: 'r',
  emulatorHost: emulator.endpoint,
};
await using kms = new KMSClient(config);
const key: KeyMetadata = await kms.generateKey({
  name: 'k',
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P384_SHA384',
  protectionLevel: 'HSM',
});
const signature: Buffer = await kms.sign(key.name, Buffer.from('message'));
const verdict: boolean = await kms.verify(key.name, Buffer.from('message'), signature);
const publicKey: Buffer = await new A2AKeyExchange(config).getPublicKey('agent');
await kms.generateKey({
  name: 'k',
  purpose: 'ASYMMETRIC_SIGN',
  // @ts-expect-error: a misspelt algorithm does not compile
  algorithm: 'EC_SIGN_P38',
  protectionLevel: 'HSM',
});
console.log(verdict, publicKey);
