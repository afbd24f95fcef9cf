/**
 * How a value is judged by a JSON Schema: by a validator that was compiled at build time (`build/validators.mjs`), so
 * that nothing here generates code.
 */

/** What a validator says of one fault, in ajv's words. */
export interface SchemaFault {
  /** JSON pointer into the value; empty for the whole. */
  readonly instancePath: string;
  readonly keyword: string;
  readonly message?: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export interface Validator {
  (value: unknown): boolean;
  /** The first fault of the last call; null after a valid value. */
  readonly errors?: readonly SchemaFault[] | null;
}

/** What is wrong first, and where, as a phrase without a full stop; undefined where the value is valid. */
export function faultOf(validator: Validator, value: unknown): string | undefined {
  if (validator(value)) return undefined;
  const first = validator.errors?.[0];
  if (first === undefined) return 'is not valid';
  const where = first.instancePath === '' ? 'the whole' : first.instancePath;
  const extra = first.params['additionalProperty'] ?? first.params['allowedValues'] ?? first.params['allowedValue'];
  return `${where} ${first.message ?? first.keyword}${extra === undefined ? '' : ` (${JSON.stringify(extra)})`}`;
}
