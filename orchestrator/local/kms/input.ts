/**
 * Parameters of a KMS call, read against the constraints of the service's published model. All faults are reported at
 * once, in AWS's words; values of secrets are never quoted.
 */
import { AwsError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../wire/json.ts';

interface Length {
  readonly min?: number;
  readonly max?: number;
}

interface TextShape extends Length {
  readonly pattern?: RegExp;
  readonly oneOf?: readonly string[];
  /** Undefined is allowed. */
  readonly optional?: true;
}

export interface Input {
  text(name: string, shape: TextShape & { readonly optional: true }): string | undefined;
  text(name: string, shape: TextShape): string;
  blob(name: string, shape: Length): Buffer;
  integer(name: string, shape: Length): number | undefined;
  flag(name: string): boolean;
  /** Undefined where absent. */
  texts(name: string, shape: TextShape & { readonly items?: number }): readonly string[] | undefined;
  textMap(name: string): Readonly<Record<string, string>> | undefined;
  nested(name: string): Input | undefined;
  has(name: string): boolean;
  /** Throws ValidationException if anything read so far was wrong. Call it after the last read and before the first use. */
  done(): void;
}

export function inputOf(values: JsonObject): Input {
  return reader(values, '', []);
}

function reader(values: JsonObject, path: string, faults: string[]): Input {
  const fault = (name: string, shown: string, constraint: string): void => {
    const member = `${path}${name.charAt(0).toLowerCase()}${name.slice(1)}`;
    faults.push(`Value ${shown} at '${member}' failed to satisfy constraint: ${constraint}`);
  };
  const get = (name: string): unknown => (Object.hasOwn(values, name) ? (values[name] ?? undefined) : undefined);

  const checkText = (name: string, value: string, shape: TextShape): void => {
    const shown = `'${value.length > 200 ? `${value.slice(0, 200)}…` : value}'`;
    checkLength(fault, name, shown, value.length, shape);
    if (shape.pattern !== undefined && !shape.pattern.test(value)) {
      fault(name, shown, `Member must satisfy regular expression pattern: ${shape.pattern.source}`);
    }
    if (shape.oneOf !== undefined && !shape.oneOf.includes(value)) {
      fault(name, shown, `Member must satisfy enum value set: [${shape.oneOf.join(', ')}]`);
    }
  };

  function text(name: string, shape: TextShape & { readonly optional: true }): string | undefined;
  function text(name: string, shape: TextShape): string;
  function text(name: string, shape: TextShape): string | undefined {
    const value = get(name);
    if (value === undefined) {
      if (shape.optional) return undefined;
      fault(name, 'null', 'Member must not be null');
      return '';
    }
    if (typeof value !== 'string') throw wrongType(name);
    checkText(name, value, shape);
    return value;
  }

  return {
    text,
    blob: (name, shape) => {
      const value = get(name);
      if (value === undefined) {
        fault(name, 'null', 'Member must not be null');
        return Buffer.alloc(0);
      }
      if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) throw wrongType(name);
      const bytes = Buffer.from(value, 'base64');
      const shown = `'java.nio.HeapByteBuffer[pos=0 lim=${bytes.length} cap=${bytes.length}]'`;
      checkLength(fault, name, shown, bytes.length, shape);
      return bytes;
    },
    integer: (name, { min = 0, max = Number.MAX_SAFE_INTEGER }) => {
      const value = get(name);
      if (value === undefined) return undefined;
      if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongType(name);
      if (value < min) fault(name, `'${value}'`, `Member must have value greater than or equal to ${min}`);
      if (value > max) fault(name, `'${value}'`, `Member must have value less than or equal to ${max}`);
      return value;
    },
    flag: (name) => {
      const value = get(name) ?? false;
      if (typeof value !== 'boolean') throw wrongType(name);
      return value;
    },
    texts: (name, shape) => {
      const value = get(name);
      if (value === undefined) return undefined;
      if (!Array.isArray(value)) throw wrongType(name);
      if (shape.items !== undefined && value.length > shape.items) {
        fault(name, `'[${value.length} members]'`, `Member must have length less than or equal to ${shape.items}`);
      }
      return value.map((each: unknown) => {
        if (typeof each !== 'string') throw wrongType(name);
        checkText(name, each, shape);
        return each;
      });
    },
    textMap: (name) => {
      const value = get(name);
      if (value === undefined) return undefined;
      if (!isJsonObject(value)) throw wrongType(name);
      const entries = Object.entries(value).map(([key, each]): [string, string] => {
        if (typeof each !== 'string') throw wrongType(name);
        return [key, each];
      });
      return Object.fromEntries(entries);
    },
    nested: (name) => {
      const value = get(name);
      if (value === undefined) return undefined;
      if (!isJsonObject(value)) throw wrongType(name);
      return reader(value, `${path}${name.charAt(0).toLowerCase()}${name.slice(1)}.`, faults);
    },
    has: (name) => get(name) !== undefined,
    done: () => {
      if (faults.length === 0) return;
      const count = `${faults.length} validation error${faults.length === 1 ? '' : 's'} detected`;
      throw new AwsError('ValidationException', `${count}: ${faults.join('; ')}`);
    },
  };
}

function checkLength(
  fault: (name: string, shown: string, constraint: string) => void,
  name: string,
  shown: string,
  length: number,
  { min, max }: Length,
): void {
  if (min !== undefined && length < min) {
    fault(name, shown, `Member must have length greater than or equal to ${min}`);
  }
  if (max !== undefined && length > max) fault(name, shown, `Member must have length less than or equal to ${max}`);
}

function wrongType(name: string): AwsError {
  return new AwsError('SerializationException', `${name} has the wrong type.`);
}
