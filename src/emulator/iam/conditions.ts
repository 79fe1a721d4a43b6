/**
 * Conditions of bindings: comparisons of `request.time`, and of name, type and service of the resource, joined with `&&`
 * and `||`. That is the part of CEL that conditions on keys are mostly written in. A condition that says anything else
 * does not hold: what is not understood grants nothing.
 */

interface ConditionContext {
  readonly timeMs: number;
  /** Full resource name. */
  readonly resource: string;
}

const TERMS: readonly (readonly [
  RegExp,
  (match: readonly string[], context: ConditionContext) => boolean,
])[] = [
  [
    /^request\.time (<|<=|>|>=) timestamp\((?:"([^"\\]*)"|'([^'\\]*)')\)$/,
    ([, operator, double, single], { timeMs }) => {
      const limitMs = Date.parse(double ?? single ?? '');
      // Comparisons with NaN are false: a time that is none grants nothing.
      if (operator === '<') return timeMs < limitMs;
      if (operator === '<=') return timeMs <= limitMs;
      return operator === '>' ? timeMs > limitMs : timeMs >= limitMs;
    },
  ],
  [
    /^resource\.name\.(startsWith|endsWith)\((?:"([^"\\]*)"|'([^'\\]*)')\)$/,
    ([, method, double, single], { resource }) => {
      const part = double ?? single ?? '';
      return method === 'startsWith' ? resource.startsWith(part) : resource.endsWith(part);
    },
  ],
  [
    /^resource\.(name|type|service) (==|!=) (?:"([^"\\]*)"|'([^'\\]*)')$/,
    ([, attribute, operator, double, single], { resource }) => {
      const is = attributeOf(resource, attribute) === (double ?? single);
      return operator === '==' ? is : !is;
    },
  ],
];

export function conditionHolds(expression: string, context: ConditionContext): boolean {
  return expression
    .split('||')
    .some((alternative) => alternative.split('&&').every((term) => termHolds(term.trim(), context)));
}

function termHolds(term: string, context: ConditionContext): boolean {
  for (const [pattern, evaluate] of TERMS) {
    const match = pattern.exec(term);
    if (match !== null) return evaluate(match, context);
  }
  return false;
}

function attributeOf(resource: string, attribute: string | undefined): string {
  if (attribute === 'name') return resource;
  if (attribute === 'service') return 'cloudkms.googleapis.com';
  const collection = resource.split('/').at(-2) ?? '';
  const kind = `${collection.charAt(0).toUpperCase()}${collection.slice(1, -1)}`;
  return `cloudkms.googleapis.com/${kind}`;
}
