/**
 * Spans and histograms of a provider's calls. Attributes hold names, states and codes: never data, digests, signatures,
 * ciphertexts, or the caller's reason. Metrics hold no name below the key ring, since those of agents' keys are without
 * number.
 */

import type { Attributes, Context, Histogram, Span, Tracer } from '@opentelemetry/api';
import { type KeyRingName, parseKeyReference } from '../keys/resource-name.js';
import type {
  CallObserver,
  ObservedAttempt,
  ObservedCall,
  ObservedOutcome,
  ProviderObserver,
} from '../provider/observer.js';
import type { OpenTelemetryApi } from './load.js';
import { ATTRIBUTE, METRIC, OPERATION_SPAN_PREFIX, rpcMethod, SCOPE } from './names.js';

/** Where RPCs go. */
interface RpcServer {
  readonly address: string;
  readonly port: number;
}

export interface CallTelemetryOptions {
  readonly api: OpenTelemetryApi;
  readonly provider: 'kms' | 'software';
  readonly keyRing: KeyRingName;
  /** Undefined for a provider without RPCs. */
  readonly server: RpcServer | undefined;
}

/** As the semantic conventions advise for `rpc.client.call.duration`. Seconds. */
const RPC_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** Verification with a known key takes a tenth of a millisecond, the making of an RSA key up to a minute. Seconds. */
const OPERATION_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, ...RPC_BUCKETS, 30, 60];
const ATTEMPT_BUCKETS = [0, 1, 2, 3, 5, 10, 20];

interface Instruments {
  readonly tracer: Tracer;
  readonly operationDuration: Histogram;
  readonly operationAttempts: Histogram;
  readonly rpcDuration: Histogram;
}

export class CallTelemetry implements ProviderObserver {
  readonly #options: CallTelemetryOptions;
  readonly #rpcAttributes: Attributes;
  #instruments: Instruments | undefined;

  constructor(options: CallTelemetryOptions) {
    this.#options = options;
    const { server } = options;
    this.#rpcAttributes = {
      [ATTRIBUTE.rpcSystem]: 'grpc',
      ...(server && { [ATTRIBUTE.serverAddress]: server.address, [ATTRIBUTE.serverPort]: server.port }),
    };
  }

  /** The caller's context is the one that is active now, so this must not wait for anything. */
  begin(call: ObservedCall): CallObserver {
    const { api, provider, keyRing } = this.#options;
    // Meters are no proxies: one that was asked for before the application registered its SDK stays silent for good.
    this.#instruments ??= createInstruments(api);
    const instruments = this.#instruments;
    const common: Attributes = {
      [ATTRIBUTE.operation]: call.method,
      [ATTRIBUTE.provider]: provider,
      [ATTRIBUTE.keyRing]: keyRing,
    };
    const parent = api.context.active();
    const span = instruments.tracer.startSpan(
      `${OPERATION_SPAN_PREFIX}${call.method}`,
      { attributes: { ...common, ...callerAttributes(call, keyRing) } },
      parent,
    );
    const own = api.trace.setSpan(parent, span);
    const begunAt = performance.now();
    return {
      attempt: (attempt) => this.#attempt(instruments, own, attempt),
      end: (outcome) => this.#end(instruments, { span, context: own, common, begunAt }, outcome),
    };
  }

  #attempt(
    { tracer, rpcDuration }: Instruments,
    parent: Context,
    { rpc, attempt }: ObservedAttempt,
  ): (status: string) => void {
    const { api } = this.#options;
    const method = rpcMethod(rpc);
    const attributes = { ...this.#rpcAttributes, [ATTRIBUTE.rpcMethod]: method };
    const span = tracer.startSpan(
      method,
      { kind: api.SpanKind.CLIENT, attributes: { ...attributes, [ATTRIBUTE.attempt]: attempt } },
      parent,
    );
    const begunAt = performance.now();
    return (status) => {
      const result: Attributes = {
        [ATTRIBUTE.rpcStatus]: status,
        ...(status !== 'OK' && { [ATTRIBUTE.errorType]: status }),
      };
      span.setAttributes(result);
      if (status !== 'OK') span.setStatus({ code: api.SpanStatusCode.ERROR });
      rpcDuration.record(secondsSince(begunAt), { ...attributes, ...result }, parent);
      span.end();
    };
  }

  #end(
    { operationDuration, operationAttempts }: Instruments,
    call: {
      readonly span: Span;
      readonly context: Context;
      readonly common: Attributes;
      readonly begunAt: number;
    },
    outcome: ObservedOutcome,
  ): void {
    const { api } = this.#options;
    const { span, context, common, begunAt } = call;
    const { status, errorCode, attempts } = outcome;
    const result: Attributes = {
      [ATTRIBUTE.outcome]: status,
      ...(errorCode && { [ATTRIBUTE.errorType]: errorCode }),
    };
    span.setAttributes({ ...result, [ATTRIBUTE.attempts]: attempts, ...versionAttributes(outcome) });
    if (errorCode !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR });
    operationDuration.record(secondsSince(begunAt), { ...common, ...result }, context);
    operationAttempts.record(attempts, common, context);
    span.end();
  }
}

const secondsSince = (begunAt: number): number => (performance.now() - begunAt) / 1_000;

/** A key id may be anything until it is parsed: only one that is a name goes out. */
function callerAttributes({ keyId, correlationId }: ObservedCall, keyRing: KeyRingName): Attributes {
  const parsed = keyId === keyRing ? undefined : parseKeyReference(keyId, keyRing);
  return {
    ...(parsed?.ok && { [ATTRIBUTE.key]: parsed.value.key }),
    ...(correlationId !== undefined && { [ATTRIBUTE.correlationId]: correlationId }),
  };
}

function versionAttributes({ version, verdict }: ObservedOutcome): Attributes {
  return {
    ...(version && {
      [ATTRIBUTE.keyVersion]: version.keyVersion,
      [ATTRIBUTE.algorithm]: version.algorithm,
      ...(version.protectionLevel && { [ATTRIBUTE.protectionLevel]: version.protectionLevel }),
    }),
    ...(verdict && { [ATTRIBUTE.verdict]: verdict }),
  };
}

function createInstruments({ trace, metrics }: OpenTelemetryApi): Instruments {
  const meter = metrics.getMeter(SCOPE.name, SCOPE.version);
  return {
    tracer: trace.getTracer(SCOPE.name, SCOPE.version),
    operationDuration: meter.createHistogram(METRIC.operationDuration, {
      description: 'Duration of calls of a key provider.',
      unit: 's',
      advice: { explicitBucketBoundaries: OPERATION_BUCKETS },
    }),
    operationAttempts: meter.createHistogram(METRIC.operationAttempts, {
      description: 'How often Cloud KMS was asked for one call of a key provider.',
      unit: '{attempt}',
      advice: { explicitBucketBoundaries: ATTEMPT_BUCKETS },
    }),
    rpcDuration: meter.createHistogram(METRIC.rpcDuration, {
      description: 'Measures the duration of an outgoing Remote Procedure Call (RPC).',
      unit: 's',
      advice: { explicitBucketBoundaries: RPC_BUCKETS },
    }),
  };
}
