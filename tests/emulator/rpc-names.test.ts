import { expect, it } from 'vitest';
import { RPC_NAMES } from '../../src/emulator/rpc-names.js';
import { loadWireDefinitions } from '../../src/emulator/wire.js';

it('a fault can be of each RPC that is registered, and of no other', () => {
  const registered = [...loadWireDefinitions().services.values()].flatMap((service) => Object.keys(service));
  expect([...RPC_NAMES].toSorted()).toEqual(registered.toSorted());
});
