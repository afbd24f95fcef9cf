import type { PolicyCode } from '../fault.ts';
import { formatSize, parseSize, SIZE_PATTERN } from '../units.ts';
import { describeSource, report, wrongType, type Objection, type Reading, type Shape } from './shape.ts';
import type { Path, Source } from './source.ts';
import { nearest } from './suggest.ts';

export interface TextOptions {
  readonly description: string;
  /** For the message: `a party's name`. */
  readonly wanted: string;
  readonly pattern?: string;
  readonly maxLength: number;
  readonly code?: PolicyCode;
  readonly hint?: string;
  /** Runs where the pattern matched. */
  readonly check?: (text: string) => Objection | undefined;
}

export function text(options: TextOptions): Shape<string> {
  const { description, wanted, pattern, maxLength, check, hint } = options;
  const regex = pattern === undefined ? undefined : new RegExp(pattern, 'u');
  return {
    schema: { type: 'string', description, ...(pattern === undefined ? {} : { pattern }), maxLength },
    read(source, path, reading) {
      if (source.kind !== 'scalar' || typeof source.value !== 'string') {
        const quote =
          source.kind === 'scalar' && source.value !== null ? 'put it in quotes if it is meant as text' : hint;
        return wrongType(reading, source, path, wanted, quote);
      }
      const { value } = source;
      const objection =
        // The own check knows better what is wrong than a pattern does, so it goes first.
        check?.(value) ??
        (value.length > maxLength || (regex !== undefined && !regex.test(value))
          ? { code: options.code ?? 'policy/bad-value', message: `${describeSource(source)} is not ${wanted}`, hint }
          : undefined);
      return objection === undefined ? value : report(reading, source.at, path, withoutUndefined(objection));
    },
  };
}

function withoutUndefined(objection: { code: PolicyCode; message: string; hint?: string | undefined }): Objection {
  const { code, message, hint } = objection;
  return hint === undefined ? { code, message } : { code, message, hint };
}

/** One of a few words. `unsupported` are words of the format that this version does not do, with what they are. */
export function choice<const T extends string>(
  description: string,
  wanted: string,
  words: readonly T[],
  unsupported: Readonly<Record<string, string>> = {},
): Shape<T> {
  const later = new Map(Object.entries(unsupported));
  return {
    schema: words.length === 1 ? { const: words[0] ?? '', description } : { enum: words, description },
    read(source, path, reading) {
      if (source.kind !== 'scalar' || typeof source.value !== 'string') {
        return wrongType(reading, source, path, wanted, `write one of: ${words.join(', ')}`);
      }
      const { value } = source;
      const found = words.find((word) => word === value);
      if (found !== undefined) return found;
      const known = later.get(value);
      if (known !== undefined) {
        return report(reading, source.at, path, {
          code: 'policy/unsupported',
          message: `${value} (${known}) is not done by this version`,
          hint: `this version does: ${words.join(', ')}`,
        });
      }
      const meant = nearest(value, [...words, ...later.keys()]);
      return report(reading, source.at, path, {
        code: 'policy/bad-value',
        message: `${describeSource(source)} is not ${wanted}`,
        hint: meant === undefined ? `write one of: ${words.join(', ')}` : `did you mean ${meant}?`,
      });
    },
  };
}

export interface WholeOptions {
  readonly description: string;
  /** For the message: `a number of calls`. */
  readonly wanted: string;
  readonly min: number;
  readonly max: number;
}

/** A whole number, written as one: `010`, `0x10`, `1e3` and `3.0` are read differently by different people. */
export function whole(options: WholeOptions): Shape<number> {
  const { description, min, max } = options;
  return {
    schema: { type: 'integer', description, minimum: min, maximum: max },
    read: (source, path, reading) => readWhole(source, path, reading, options),
  };
}

function readWhole(source: Source, path: Path, reading: Reading, options: WholeOptions): number | undefined {
  const { wanted, min, max } = options;
  const range = `write a whole number from ${min} to ${max}`;
  if (source.kind !== 'scalar' || typeof source.value !== 'number') {
    const quoted = source.kind === 'scalar' && typeof source.value === 'string' && /^[0-9]+$/.test(source.value);
    return wrongType(reading, source, path, wanted, quoted ? 'leave the quotes out' : range);
  }
  if (!/^-?(0|[1-9][0-9]*)$/.test(source.text)) {
    const reason = Number.isInteger(source.value) ? 'not written as a plain whole number' : 'not a whole number';
    return report(reading, source.at, path, {
      code: 'policy/out-of-range',
      message: `${describeSource(source)} is ${reason}`,
      hint: range,
    });
  }
  if (source.value >= min && source.value <= max && !Object.is(source.value, -0)) return source.value;
  const message = source.value < 0 ? 'is negative' : source.value < min ? `is less than ${min}` : `is more than ${max}`;
  return report(reading, source.at, path, {
    code: 'policy/out-of-range',
    message: `${describeSource(source)} ${message}`,
    hint: range,
  });
}

/** Bytes: `4MiB`, `512KB`, or a plain number. */
export function size(options: WholeOptions): Shape<number> {
  const { description, wanted, min, max } = options;
  const bytes = whole(options);
  return {
    schema: {
      description,
      oneOf: [
        { type: 'integer', minimum: min, maximum: max },
        { type: 'string', pattern: SIZE_PATTERN },
      ],
    },
    read(source, path, reading) {
      if (source.kind !== 'scalar' || typeof source.value !== 'string') return bytes.read(source, path, reading);
      const value = parseSize(source.value);
      if (value === undefined) {
        const message = `${describeSource(source)} is not ${wanted}`;
        const hint = 'write a number with one of B, KB, MB, GB (thousands) or KiB, MiB, GiB (1024s)';
        return report(reading, source.at, path, { code: 'policy/bad-size', message, hint });
      }
      if (value >= min && value <= max) return value;
      return report(reading, source.at, path, {
        code: 'policy/out-of-range',
        message: `${source.value} is ${value < min ? 'less' : 'more'} than ${formatSize(value < min ? min : max)}`,
        hint: `write a size from ${formatSize(min)} to ${formatSize(max)}`,
      });
    },
  };
}
