import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AgentId,
  agentKeyId,
  agentKeyLabels,
  agentOfLabels,
  parseAgentId,
} from '../../src/keys/agent-key-name.js';
import { isResourceId } from '../../src/keys/resource-name.js';

function agent(text: string): AgentId {
  const parsed = parseAgentId(text);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.value;
}

const anyAgentId = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 60, unit: 'binary' }),
    fc.string({ minLength: 1, maxLength: 50, unit: fc.constantFrom(...'abcXYZ019-_') }),
    fc.string({ minLength: 1, maxLength: 100, unit: 'grapheme' }),
  )
  .map((text) => text.normalize('NFC'))
  .filter((text) => parseAgentId(text).ok);

describe('parseAgentId', () => {
  it.each([
    ['an empty string', '', 'at least one character'],
    ['a number', 7, 'is a string'],
    ['a lone surrogate', 'a\ud800', 'lone surrogate'],
    ['257 bytes', 'x'.repeat(257), 'at most 256 bytes'],
    ['257 bytes in 129 characters', `${'é'.repeat(128)}x`, 'at most 256 bytes'],
    ['a decomposed letter', 'e\u0301', 'normalisation form C'],
  ])('refuses %s', (_, text, problem) => {
    const parsed = parseAgentId(text);
    expect(parsed).toEqual({ ok: false, problem: expect.stringContaining(problem) });
  });

  it('accepts 256 bytes of any script', () => {
    expect(parseAgentId('é'.repeat(128))).toEqual({ ok: true, value: 'é'.repeat(128) });
  });
});

describe('agentKeyId', () => {
  it('keeps a readable id of up to 45 characters', () => {
    const id = 'A-b_9'.repeat(9);
    expect(agentKeyId(agent(id), 'signing')).toBe(`agent-${id}-signing-key`);
    expect(agentKeyId(agent(id), 'signing')).toHaveLength(63);
  });

  it('hashes a readable id of 46 characters', () => {
    expect(agentKeyId(agent('a'.repeat(46)), 'signing')).toMatch(/^agent_[a-z2-7]{32}-signing-key$/);
  });

  it('keeps an encryption key id within 63 characters, where the suffix is longer', () => {
    expect(agentKeyId(agent('a'.repeat(42)), 'encryption')).toBe(`agent-${'a'.repeat(42)}-encryption-key`);
    expect(agentKeyId(agent('a'.repeat(43)), 'encryption')).toMatch(/^agent_[a-z2-7]{32}-encryption-key$/);
  });

  it('is the SHA-256 of the id for other ids (known answer)', () => {
    // Computed with Python's hashlib and base64.b32encode.
    expect(agentKeyId(agent('ü'), 'signing')).toBe('agent_mb2hjsshlklsjvzwbk5hdjlnlx3x4yjv-signing-key');
  });

  it('always gives a valid key id', () => {
    fc.assert(
      fc.property(anyAgentId, fc.constantFrom('signing' as const, 'encryption' as const), (id, role) => {
        expect(isResourceId(agentKeyId(agent(id), role))).toBe(true);
      }),
    );
  });

  it('never gives two agents one key', () => {
    fc.assert(
      fc.property(fc.uniqueArray(anyAgentId, { minLength: 2, maxLength: 40 }), (ids) => {
        const keys = new Set(
          ids.flatMap((id) => [agentKeyId(agent(id), 'signing'), agentKeyId(agent(id), 'encryption')]),
        );
        expect(keys.size).toBe(ids.length * 2);
      }),
    );
  });

  it('gives no readable id the name of a hashed one', () => {
    const hashed = agentKeyId(agent('ü'), 'signing');
    const middle = hashed.slice('agent_'.length, -'-signing-key'.length);
    expect(agentKeyId(agent(middle), 'signing')).not.toBe(hashed);
  });
});

describe('agentKeyLabels', () => {
  it('gives the id back, whatever it is', () => {
    fc.assert(
      fc.property(anyAgentId, (id) => {
        expect(agentOfLabels(agentKeyLabels(agent(id), 'signing'))).toEqual({ agentId: id, role: 'signing' });
      }),
    );
  });

  it('keeps to the rules for labels with the longest id', () => {
    const labels = agentKeyLabels(agent('\u{1f600}'.repeat(64)), 'encryption');
    expect(Object.keys(labels)).toHaveLength(8);
    for (const [key, value] of Object.entries(labels)) {
      expect(key).toMatch(/^[a-z][a-z0-9-]{0,62}$/);
      expect(value).toMatch(/^[a-z0-9]{1,63}$/);
    }
  });

  it.each([
    ['no role', { 'a2a-agent-0': 'me' }],
    ['another role', { 'a2a-role': 'root', 'a2a-agent-0': 'me' }],
    ['no agent', { 'a2a-role': 'signing' }],
    ['characters that base32 does not have', { 'a2a-role': 'signing', 'a2a-agent-0': 'M1' }],
    ['bits left over that are not zero', { 'a2a-role': 'signing', 'a2a-agent-0': 'mb' }],
    ['bytes that are not UTF-8', { 'a2a-role': 'signing', 'a2a-agent-0': '74' }],
  ])('names no agent with %s', (_, labels) => {
    expect(agentOfLabels(labels)).toBeUndefined();
  });
});
