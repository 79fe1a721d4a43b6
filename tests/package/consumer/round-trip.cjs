/** What both module systems do with the installed package. */

const assert = require('node:assert/strict');

/** Signs and verifies against the emulator that is installed with the package. */
module.exports = async function roundTrip(
  { KMSClient, A2AKeyExchange, NotFoundError },
  { startKmsEmulator },
) {
  const emulator = await startKmsEmulator();
  try {
    const config = {
      projectId: 'smoke',
      locationId: 'global',
      keyRingId: 'ring',
      emulatorHost: emulator.endpoint,
    };
    const kms = new KMSClient(config);
    await kms.initialize();
    const { name, protectionLevel } = await kms.generateKey({
      name: 'signer',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
      protectionLevel: 'HSM',
    });
    assert.equal(protectionLevel, 'HSM');
    const message = Buffer.from('message');
    const signature = await kms.sign(name, message);
    assert.equal(await kms.verify(name, message, signature), true);
    assert.equal(await kms.verify(name, Buffer.from('another'), signature), false);
    await assert.rejects(kms.sign('no-such-key', message), NotFoundError);
    await kms.close();

    const exchange = new A2AKeyExchange(config);
    await exchange.generateAgentKey('agent');
    const agentSignature = await exchange.signMessage('agent', message);
    assert.equal(await exchange.verifyMessage('agent', message, agentSignature), true);
    await exchange.close();
  } finally {
    await emulator.close();
  }
};
