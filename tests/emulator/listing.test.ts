import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matches, parseFilter } from '../../src/emulator/filter.js';
import { pageOf } from '../../src/emulator/paging.js';
import { RpcError, type RpcMessage } from '../../src/emulator/rpc.js';

const resource: RpcMessage = {
  name: 'projects/p/locations/l/keyRings/r/cryptoKeys/k',
  state: 'ENABLED',
  purpose: 'ASYMMETRIC_SIGN',
  importOnly: false,
  labels: { team: 'billing', 'a2a-role': 'signing', empty: '' },
  versionTemplate: { protectionLevel: 'HSM', algorithm: 'EC_SIGN_P256_SHA256' },
  createTime: { seconds: 1_700_000_000, nanos: 500_000_000 },
  destroyScheduledDuration: { seconds: 86_400, nanos: 0 },
  primary: { name: 'v1', state: 'ENABLED' },
  size: 7,
};
const is = (filter: string): boolean => matches(parseFilter(filter), resource);

describe('filters', () => {
  it.each([
    ['state=ENABLED', true],
    ['state = "ENABLED"', true],
    ["state='ENABLED'", true],
    ['state!=ENABLED', false],
    ['state != DESTROYED AND state != DESTROY_SCHEDULED', true],
    ['state=DISABLED OR state=ENABLED', true],
    ['NOT state=DISABLED', true],
    ['-state=ENABLED', false],
    ['NOT (state=ENABLED AND purpose=MAC)', true],
    // OR binds tighter: purpose=MAC AND (state=ENABLED OR state=DISABLED).
    ['purpose=MAC AND state=ENABLED OR state=DISABLED', false],
    ['state=ENABLED purpose=ASYMMETRIC_SIGN', true],
    ['labels.team=billing', true],
    ['labels.a2a-role=signing', true],
    ['labels.a2a-role="signing" AND labels.team=other', false],
    ['labels.empty=""', true],
    ['labels.missing=x', false],
    ['labels.missing!=x', true],
    ['labels:team', true],
    ['labels:nobody', false],
    ['labels.team:*', true],
    ['labels.missing:*', false],
    ['name:cryptoKeys/K', true],
    ['versionTemplate.protectionLevel=HSM', true],
    ['version_template.algorithm=EC_SIGN_P256_SHA256', true],
    ['primary.state=ENABLED', true],
    ['create_time>2023-11-14T00:00:00Z', true],
    ['createTime >= "2023-11-14T22:13:20.500Z"', true],
    ['createTime<2023-11-14T22:13:20Z', false],
    ['createTime<=2030-01-01T00:00:00Z', true],
    ['createTime:2023-11-14T22:13:20.500Z', true],
    ['destroy_scheduled_duration=86400s', true],
    ['importOnly=false', true],
    ['importOnly=TRUE', false],
    ['state>A', true],
    ['state<A', false],
    ['primary=x', false],
    ['state="say \\"hi\\""', false],
  ])('%s is %s', (filter, expected) => {
    expect(is(filter)).toBe(expected);
  });

  it.each([
    ['state'],
    ['=ENABLED'],
    ['state='],
    ['(state=ENABLED'],
    ['state=ENABLED)'],
    ['state==ENABLED'],
    ['colour=red'],
    ['.=x'],
    ['"state"=ENABLED'],
    ['state="open'],
    ['createTime>soon'],
    ['('.repeat(60)],
    [`${'NOT '.repeat(60)}state=ENABLED`],
    [`state=${'x'.repeat(10_001)}`],
  ])('%s is refused', (filter) => {
    expect(() => is(filter)).toThrow(expect.objectContaining({ status: 'INVALID_ARGUMENT' }));
  });

  it('of any text end in an answer or INVALID_ARGUMENT (client-controlled)', () => {
    const piece = fc.constantFrom(
      'state',
      '=',
      '!=',
      ':',
      '(',
      ')',
      ' AND ',
      ' OR ',
      'NOT ',
      '-',
      '"',
      'x',
      '.',
      'labels.a',
      ' ',
    );
    const text = fc.oneof(
      fc.string({ maxLength: 200 }),
      fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join('')),
    );
    fc.assert(
      fc.property(text, (filter) => {
        try {
          expect(typeof is(filter)).toBe('boolean');
        } catch (error) {
          expect(error).toBeInstanceOf(RpcError);
        }
      }),
    );
  });
});

describe('pages', () => {
  const all = Array.from(
    { length: 250 },
    (_, index): RpcMessage => ({
      name: `k${String(index).padStart(3, '0')}`,
      state: index % 2 ? 'ENABLED' : 'DISABLED',
    }),
  );
  const names = (items: readonly RpcMessage[]): unknown[] => items.map(({ name }) => name);

  it('are of 100 unless asked otherwise, and say how many there are', () => {
    const page = pageOf(all, { parent: 'p' });
    expect(page.items).toHaveLength(100);
    expect(page.totalSize).toBe(250);
    expect(pageOf(all, { pageSize: 2_000 }).items).toHaveLength(250);
  });

  it('put together give everything once, whatever their size', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.constantFrom('', 'name', 'name desc', 'name asc'),
        (pageSize, orderBy) => {
          const collected: RpcMessage[] = [];
          let pageToken = '';
          do {
            const page = pageOf(all, { parent: 'p', pageSize, pageToken, orderBy });
            collected.push(...page.items);
            pageToken = page.nextPageToken;
          } while (pageToken !== '');
          expect(names(collected)).toEqual(names(orderBy === 'name desc' ? all.toReversed() : all));
        },
      ),
    );
  });

  it('go on where they were when resources are created meanwhile', () => {
    const first = pageOf(all, { pageSize: 10 });
    const grown = [{ name: 'a-new-one' }, ...all];
    expect(pageOf(grown, { pageSize: 1, pageToken: first.nextPageToken }).items).toEqual([all[10]]);
  });

  it('of a filtered listing do not say how many there are', () => {
    const page = pageOf(all, { filter: 'state=ENABLED', pageSize: 5 });
    expect(page).toMatchObject({ totalSize: 0 });
    expect(names(page.items)).toEqual(['k001', 'k003', 'k005', 'k007', 'k009']);
  });

  it.each([
    ['a negative size', { pageSize: -1 }],
    ['an unknown order', { orderBy: 'create_time' }],
    ['a token that is none', { pageToken: 'xyz' }],
    [
      'a token of another listing',
      { pageToken: pageOf(all, { filter: 'state=ENABLED', pageSize: 1 }).nextPageToken },
    ],
  ])('with %s are refused', (_, request) => {
    expect(() => pageOf(all, request)).toThrow(expect.objectContaining({ status: 'INVALID_ARGUMENT' }));
  });
});
