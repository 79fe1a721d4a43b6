/** Pages of a listing: sizes, opaque tokens that fit one listing only, and order. */

import { createHash } from 'node:crypto';
import { matches, parseFilter } from './filter.js';
import { RpcError, type RpcMessage } from './rpc.js';

/** ListCryptoKeysRequest.page_size in service.proto: the server picks the default; 1,000 is the documented maximum. */
const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1_000;

interface Page {
  readonly items: readonly RpcMessage[];
  readonly nextPageToken: string;
  /** Size of the whole listing; 0 when it was filtered, as the proto says. */
  readonly totalSize: number;
}

/**
 * One page of the resources, which come in ascending order.
 * @throws RpcError INVALID_ARGUMENT for a size, token, filter or order that is not valid.
 */
export function pageOf(resources: readonly RpcMessage[], request: RpcMessage): Page {
  const filterText = text(request, 'filter');
  const orderBy = text(request, 'orderBy').trim().replace(/\s+/g, ' ');
  const filter = filterText.trim() === '' ? undefined : parseFilter(filterText);
  if (!['', 'name', 'name asc', 'name desc'].includes(orderBy))
    throw new RpcError('INVALID_ARGUMENT', `Invalid order_by: ${orderBy}`);
  const selected =
    filter === undefined ? [...resources] : resources.filter((resource) => matches(filter, resource));
  if (orderBy === 'name desc') selected.reverse();

  const pageSize = Number(request['pageSize'] ?? 0);
  if (pageSize < 0) throw new RpcError('INVALID_ARGUMENT', 'page_size must not be negative.');
  const size = Math.min(pageSize === 0 ? DEFAULT_PAGE_SIZE : pageSize, MAX_PAGE_SIZE);
  const listing = createHash('sha256')
    .update(JSON.stringify([text(request, 'parent'), filterText, orderBy]))
    .digest('base64url')
    .slice(0, 16);
  const start = startOf(selected, text(request, 'pageToken'), listing);
  const items = selected.slice(start, start + size);
  const last = items.at(-1);
  const more = start + size < selected.length && last !== undefined;
  return {
    items,
    nextPageToken: more
      ? Buffer.from(`${listing}:${start + size}:${String(last['name'])}`).toString('base64url')
      : '',
    totalSize: filter === undefined ? selected.length : 0,
  };
}

/**
 * The token names the last resource of the page before, so that resources created meanwhile do not shift the pages, and
 * where it was, for the case that it was deleted.
 */
function startOf(resources: readonly RpcMessage[], token: string, listing: string): number {
  if (token === '') return 0;
  const [, ofListing, next, name] =
    /^([^:]*):([0-9]{1,15}):(.*)$/.exec(Buffer.from(token, 'base64url').toString('utf8')) ?? [];
  if (ofListing !== listing)
    throw new RpcError('INVALID_ARGUMENT', 'The page token is not valid for this listing.');
  const index = resources.findIndex((resource) => resource['name'] === name);
  return index < 0 ? Number(next) - 1 : index + 1;
}

function text(request: RpcMessage, field: string): string {
  const value = request[field];
  return typeof value === 'string' ? value : '';
}
