/** KeyRing RPCs. */

import { pageOf } from '../paging.js';
import { text } from '../request-fields.js';
import { keyRingMessage } from '../resources/entities.js';
import type { KeyStore } from '../resources/key-store.js';
import { requireId, requireLocation } from '../resources/names.js';
import { RpcError, type ServiceHandlers } from '../rpc.js';

export function keyRingHandlers(store: KeyStore): ServiceHandlers {
  return {
    CreateKeyRing: (request) => {
      const name = `${requireLocation(text(request, 'parent'))}/keyRings/${requireId(text(request, 'keyRingId'), 'key_ring_id')}`;
      if (store.keyRings.has(name)) throw new RpcError('ALREADY_EXISTS', `KeyRing ${name} already exists.`);
      const createMs = store.clock.now();
      store.keyRings.set(name, { createMs });
      return keyRingMessage(name, createMs);
    },
    GetKeyRing: (request) => {
      const name = text(request, 'name');
      return keyRingMessage(name, store.keyRing(name).createMs);
    },
    ListKeyRings: (request) => {
      const prefix = `${requireLocation(text(request, 'parent'))}/keyRings/`;
      const names = [...store.keyRings]
        .filter(([name]) => name.startsWith(prefix))
        .sort(([a], [b]) => (a < b ? -1 : 1));
      const page = pageOf(
        names.map(([name, { createMs }]) => keyRingMessage(name, createMs)),
        request,
      );
      return { keyRings: page.items, nextPageToken: page.nextPageToken, totalSize: page.totalSize };
    },
  };
}
