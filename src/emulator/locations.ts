/** google.cloud.location.Locations: where Cloud KMS is. */

import { RpcError, type RpcMessage, type ServiceHandlers } from './rpc.js';
import { toAny, type WireDefinitions } from './wire.js';

/** Cloud KMS documentation, "Cloud KMS locations": regions, dual and multi-regions, and global. */
const LOCATION_IDS: readonly string[] = [
  'africa-south1',
  'asia',
  'asia-east1',
  'asia-east2',
  'asia-northeast1',
  'asia-northeast2',
  'asia-northeast3',
  'asia-south1',
  'asia-south2',
  'asia-southeast1',
  'asia-southeast2',
  'asia1',
  'australia-southeast1',
  'australia-southeast2',
  'ca',
  'eur3',
  'eur4',
  'eur5',
  'eur6',
  'europe',
  'europe-central2',
  'europe-north1',
  'europe-north2',
  'europe-southwest1',
  'europe-west1',
  'europe-west10',
  'europe-west12',
  'europe-west2',
  'europe-west3',
  'europe-west4',
  'europe-west6',
  'europe-west8',
  'europe-west9',
  'global',
  'in',
  'me-central1',
  'me-central2',
  'me-west1',
  'nam-eur-asia1',
  'nam10',
  'nam11',
  'nam12',
  'nam3',
  'nam4',
  'nam6',
  'nam7',
  'nam8',
  'nam9',
  'northamerica-northeast1',
  'northamerica-northeast2',
  'northamerica-south1',
  'southamerica-east1',
  'southamerica-west1',
  'us',
  'us-central1',
  'us-east1',
  'us-east4',
  'us-east5',
  'us-south1',
  'us-west1',
  'us-west2',
  'us-west3',
  'us-west4',
];
const KNOWN = new Set(LOCATION_IDS);

/** The handlers; the wire definitions encode the metadata (google.cloud.kms.v1.LocationMetadata). */
export function locationHandlers(wire: WireDefinitions): ServiceHandlers {
  // Whatever Cloud KMS itself has where, the emulator has software HSMs everywhere and external key managers nowhere.
  const metadata = toAny(wire, 'google.cloud.kms.v1.LocationMetadata', {
    hsmAvailable: true,
    ekmAvailable: false,
  });
  const describe = (project: string, locationId: string): RpcMessage => ({
    name: `${project}/locations/${locationId}`,
    locationId,
    metadata,
  });
  return {
    ListLocations: (request) => {
      const project = String(request['name']);
      if (!/^projects\/[^/]+$/.test(project)) {
        throw new RpcError('INVALID_ARGUMENT', `Invalid resource name: ${project}`);
      }
      return {
        locations: LOCATION_IDS.map((locationId) => describe(project, locationId)),
        nextPageToken: '',
      };
    },
    GetLocation: (request) => {
      const [, project, locationId] =
        /^(projects\/[^/]+)\/locations\/([^/]+)$/.exec(String(request['name'])) ?? [];
      if (project === undefined || locationId === undefined) {
        throw new RpcError('INVALID_ARGUMENT', `Invalid resource name: ${String(request['name'])}`);
      }
      if (!KNOWN.has(locationId)) throw new RpcError('NOT_FOUND', `Location ${locationId} not found.`);
      return describe(project, locationId);
    },
  };
}
